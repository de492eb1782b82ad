"""What a finished run leaves: a HuggingFace model folder or a PEFT adapter folder."""

from pathlib import Path

import ml_dtypes
import numpy as np

from mindcold.adapter_formats.peft import PREFIX, save
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.files import write_json, write_tensors
from mindcold.training.model import TrainingLM


def export_model(network: TrainingLM, config: ModelConfig, folder: Path) -> None:
    """Write config.json and model.safetensors in the configuration's dtype (float32 or bfloat16)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "model.safetensors", _values(network, config))
    write_json(folder / "config.json", config.to_hf())
    eos = config.to_hf()["eos_token_id"]
    write_json(folder / "generation_config.json", {"bos_token_id": config.bos_token_id, "eos_token_id": eos})


def export_adapter(network: TrainingLM, config: ModelConfig, base: str, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors as peft reads them, in the dtype of the model.

    `base` is the base model's name.
    """
    if network.lora is None:
        raise TrainingError("adapter: the whole model was trained; export that")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{PREFIX}{name}": value for name, value in _values(network, config).items()}
    save(folder, tensors, base, network.lora.peft())


def _values(network: TrainingLM, config: ModelConfig) -> dict[str, np.ndarray]:
    dtype = ml_dtypes.bfloat16 if config.dtype == "bfloat16" else np.float32
    return {name: item.asnumpy().astype(dtype) for name, item in network.trainable.items()}
