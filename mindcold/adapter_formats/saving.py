"""The files of MindFormers' formats: tensors, and the adapter_config.json that its PetModel writes."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindcold.adapter_formats.format import Destination
from mindcold.adapter_formats.source import CONFIG_FILE
from mindcold.files import write_json, write_tensors


@dataclass(frozen=True, slots=True)
class Content:
    """What a folder of one of MindFormers' formats holds."""

    tensors: dict[str, np.ndarray] = field(repr=False)
    notes: dict[str, str]
    """Metadata, where the file has a place for them."""
    rank: int
    alpha: int
    leaves: list[str]
    """Last names of the adapted layers."""


def save_safetensors(content: Content, destination: Destination) -> None:
    """adapter_model.safetensors, and target_modules as the regular expressions that MindFormers joins by `|`."""
    path = destination.folder / "adapter_model.safetensors"
    write_tensors(path, content.tensors, {"format": "ms"} | content.notes)
    write_config(destination.folder, content.rank, content.alpha, [f".*{leaf}" for leaf in content.leaves])


def write_config(folder: Path, rank: int, alpha: int, targets: list[str]) -> None:
    """adapter_config.json with the fields of MindFormers' `LoraModel.save_pet_config`."""
    content = {
        "base_model_name_or_path": "none",
        "bias": "none",
        "lora_alpha": alpha,
        "lora_bias": False,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": targets,
        "task_type": "CAUSAL_LM",
    }
    write_json(folder / CONFIG_FILE, content)
