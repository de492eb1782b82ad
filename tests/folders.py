"""Small random model and adapter folders for tests, written with NumPy and safetensors alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import mindcold
from mindcold.config import parse_config
from mindcold.model.shapes import linear_shapes, weight_shapes

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "eos_token_id": 2,
}


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_model(folder: Path, seed: int = 0, spread: float = 0.3, **changes: Any) -> Path:
    """A random model of the LLAMA shape with `changes` to its config.json."""
    raw = LLAMA | changes
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(parse_config(raw, "test")).items():
        mean = 1.0 if "norm" in name else 0.0
        weights[name] = (mean + spread * rng.standard_normal(shape)).astype(np.float32)
    write_json(folder / "config.json", raw)
    save_file(weights, folder / "model.safetensors")
    return folder


def write_adapter(
    folder: Path,
    seed: int = 1,
    rank: int = 4,
    model: dict[str, Any] | None = None,
    targets: tuple[str, ...] = ("q_proj", "v_proj"),
    **changes,
) -> Path:
    """A random LoRA adapter on linear layers of a LLAMA model, with `changes` to its adapter_config.json."""
    raw = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": list(targets), "bias": "none"}
    rng = np.random.default_rng(seed)
    tensors = {}
    for module, (out_size, in_size) in linear_shapes(parse_config(LLAMA | (model or {}), "test")).items():
        if module.endswith(targets):
            for side, shape in (("A", (rank, in_size)), ("B", (out_size, rank))):
                tensor = rng.standard_normal(shape) * 0.3
                tensors[f"base_model.model.{module}.lora_{side}.weight"] = tensor.astype(np.float32)
    write_json(folder / "adapter_config.json", raw | changes)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def load_random(folder: Path, seed: int) -> mindcold.LLM:
    """A random model with one random adapter, loaded."""
    return mindcold.load(write_model(folder / "model", seed=seed), write_adapter(folder / "adapter", seed=seed))
