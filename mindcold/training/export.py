"""What a finished run leaves: a HuggingFace model folder or a PEFT adapter folder."""

from pathlib import Path

import ml_dtypes
import numpy as np

from mindcold.adapter_formats.peft import PREFIX
from mindcold.config import ModelConfig
from mindcold.files import write_json, write_tensors
from mindcold.training.model import LoraSettings, TrainingLM


def export_model(network: TrainingLM, config: ModelConfig, folder: Path) -> None:
    """Write config.json and model.safetensors in the configuration's dtype (float32 or bfloat16)."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {item.name: item.asnumpy().astype(_dtype(config)) for item in network.get_parameters()}
    write_tensors(folder / "model.safetensors", weights)
    write_json(folder / "config.json", config.to_hf())
    eos = config.to_hf()["eos_token_id"]
    write_json(folder / "generation_config.json", {"bos_token_id": config.bos_token_id, "eos_token_id": eos})


def _dtype(config: ModelConfig) -> type:
    return ml_dtypes.bfloat16 if config.dtype == "bfloat16" else np.float32


def export_adapter(network: TrainingLM, config: ModelConfig, lora: LoraSettings, base: str, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors as peft reads them, in the dtype of the model.

    `base` is the base model's name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{PREFIX}{item.name}": item.asnumpy().astype(_dtype(config)) for item in network.trainable_params()}
    write_tensors(folder / "adapter_model.safetensors", tensors)
    content = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "target_modules": list(lora.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    write_json(folder / "adapter_config.json", content)
