"""What of an adapter is trained: modules, ranks and scalings by the rules of PEFT."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindcold.adapter_formats.peft_targets import SAVED, PeftTargets
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError, shown
from mindcold.fields import Fields
from mindcold.training.settings import LARGEST

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True)
class LowRankModule:
    """One linear layer with a low-rank update."""

    rank: int
    scaling: float
    """What the update is multiplied with."""
    shape: tuple[int, int]
    """[out, in] of the layer."""


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """An adapter to train, under the field names of `peft.LoraConfig`.

    `targets` is a list of names (ends of module paths), a regular expression for whole paths, or "all-linear"; patterns
    map regular expressions to ranks or alphas. `dropout` is the probability with which an input of the update is left
    out in training.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] | str
    seed: int = 0
    dropout: float = 0.0
    rslora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    saved: tuple[str, ...] = ()
    """modules_to_save: `embed_tokens` and `lm_head`, trained as a whole."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 < self.alpha <= LARGEST:
            raise TrainingError(
                f"lora_rank and lora_alpha: positive numbers are expected (alpha up to {LARGEST:g}), "
                f"found {shown(self.rank)} and {self.alpha}"
            )
        if not 0 <= self.dropout < 1:
            raise TrainingError(f"lora_dropout: a number from 0 to below 1 is expected, found {self.dropout}")

    def peft(self) -> dict[str, Any]:
        """The fields of adapter_config.json that say this."""
        return {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.rslora,
            "target_modules": self.targets if isinstance(self.targets, str) else list(self.targets),
            "rank_pattern": dict(self.rank_pattern),
            "alpha_pattern": dict(self.alpha_pattern),
            "modules_to_save": list(self.saved) or None,
        }

    def modules(self, config: ModelConfig) -> dict[str, LowRankModule]:
        """Module path to its update; TrainingError for a name or a pattern that selects nothing."""
        chosen = PeftTargets(Fields(self.peft(), "adapter", TrainingError), config)
        shapes = chosen.shapes()
        if not shapes:
            raise TrainingError("target_modules: modules_to_save has all of them; choose a linear layer besides")
        for name in () if isinstance(self.targets, str) else self.targets:
            if not any(module == name or module.endswith(f".{name}") for module in (*shapes, *chosen.saved())):
                raise TrainingError(f"target_modules: {name} is no linear layer of this model; {ALL_LINEAR} takes all")
        found = {}
        for module, shape in shapes.items():
            rank, scaling = chosen.rank_and_scaling(module)
            if rank > max(shape):
                raise TrainingError(f"lora_rank: {rank} is above {max(shape)}, the larger side of {module}")
            if not scaling <= LARGEST:
                raise TrainingError(f"lora_alpha: {module} would be scaled by {scaling:g}; {LARGEST:g} is the largest")
            found[module] = LowRankModule(rank, scaling, shape)
        return found

    def saved_weights(self) -> list[str]:
        """Names of the weights that are trained as a whole."""
        return sorted({f"{SAVED[name]}.weight" for name in self.saved})

    def initial(self, config: ModelConfig) -> dict[str, np.ndarray]:
        """Tensor name to first value, float32: A [rank, in] kaiming-uniform as peft has it, B [out, rank] zero."""
        rng = np.random.default_rng(self.seed)
        values = {}
        for module, item in self.modules(config).items():
            bound = 1 / math.sqrt(item.shape[1])  # kaiming-uniform with a = sqrt(5)
            down = rng.uniform(-bound, bound, (item.rank, item.shape[1])).astype(np.float32)
            values[f"{module}.lora_A.weight"] = down
            values[f"{module}.lora_B.weight"] = np.zeros((item.shape[0], item.rank), np.float32)
        return values
