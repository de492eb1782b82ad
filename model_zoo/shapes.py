"""Models of well-known shapes with random weights, as folders every program can load."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file
from tqdm import tqdm

from mindcold.adapter_formats.peft import PREFIX
from mindcold.config import parse_config
from mindcold.errors import RequestError
from mindcold.model.shapes import linear_shapes, weight_shapes

RANK = 16

_QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
}
_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
}

SHAPES: dict[str, dict[str, Any]] = {"qwen2.5-0.5b": _QWEN, "llama3.2-1b": _LLAMA}
"""Name to the part of config.json that says the shape."""


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A base folder and the folder of a LoRA adapter for it."""

    model: Path
    adapter: Path


def write_random_model(name: str, folder: Path, seed: int = 0) -> RandomModel:
    """Write a model of this shape in bfloat16, and an adapter of rank 16 on its seven linear layers."""
    if name not in SHAPES:
        raise RequestError(f"shape: {name!r} is not one of {', '.join(SHAPES)}")
    raw = SHAPES[name] | {"hidden_act": "silu", "torch_dtype": "bfloat16", "eos_token_id": None}
    config = parse_config(raw, name)
    rng = np.random.default_rng(seed)
    base, adapter = folder / "model", folder / "adapter"
    base.mkdir(parents=True)
    adapter.mkdir()
    (base / "config.json").write_text(json.dumps(raw, indent=1), encoding="utf-8")
    tensors = {}
    for tensor, shape in tqdm(weight_shapes(config).items(), desc=f"random {name}", unit="tensor", disable=None):
        if len(shape) == 1 and not tensor.endswith(".bias"):
            tensors[tensor] = np.ones(shape, ml_dtypes.bfloat16)
        else:
            tensors[tensor] = (rng.standard_normal(shape, np.float32) * np.float32(0.02)).astype(ml_dtypes.bfloat16)
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    pairs = {}
    for module, (out_size, in_size) in linear_shapes(config).items():
        if module != "lm_head":
            key, bound = f"{PREFIX}{module}", in_size**-0.5
            pairs[f"{key}.lora_A.weight"] = rng.uniform(-bound, bound, (RANK, in_size)).astype(np.float32)
            pairs[f"{key}.lora_B.weight"] = np.float32(0.01) * rng.standard_normal((out_size, RANK), np.float32)
    save_file(pairs, adapter / "adapter_model.safetensors", {"format": "pt"})
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    setting = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": targets, "task_type": "CAUSAL_LM"}
    (adapter / "adapter_config.json").write_text(json.dumps(setting, indent=1), encoding="utf-8")
    return RandomModel(base, adapter)
