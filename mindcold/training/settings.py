"""Settings of a training run."""

from dataclasses import dataclass

from mindcold.errors import TrainingError, shown
from mindcold.training.schedule import SCHEDULES, learning_rates

LARGEST = 1e6
"""Rates, decays, norms and alphas above it are mistakes, and end in numbers that are not finite."""

_COUNTS = {"steps": 10_000_000, "save_every": 2**63 - 1, "evaluate_every": 2**63 - 1}
"""Counts and what they are at most: the learning rate of every step is kept."""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Optimiser, schedule, checkpoints and evaluation of one run."""

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    schedule: str = "cosine"
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    save_every: int = 200
    evaluate_every: int = 200
    """Steps between evaluations, where there is a held-out file; one more comes after the last step."""
    patience: int | None = None
    """Evaluations without a lower loss after which the run ends, None to go on to the last step."""

    def __post_init__(self) -> None:
        for name, high in _COUNTS.items():
            if not 1 <= getattr(self, name) <= high:
                raise TrainingError(
                    f"{name}: an integer from 1 to {high} is expected, found {shown(getattr(self, name))}"
                )
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) <= LARGEST:
                raise TrainingError(
                    f"{name}: a positive number up to {LARGEST:g} is expected, found {getattr(self, name)}"
                )
        if not 0 <= self.warmup_steps <= self.steps:
            raise TrainingError(f"warmup_steps: 0 to steps ({self.steps}) is expected, found {self.warmup_steps}")
        if not 0 <= self.weight_decay <= LARGEST:
            raise TrainingError(f"weight_decay: a number from 0 to {LARGEST:g} is expected, found {self.weight_decay}")
        if self.patience is not None and self.patience < 1:
            raise TrainingError(f"patience: a positive number is expected, found {self.patience}")
        if self.schedule not in SCHEDULES:
            raise TrainingError(f"schedule: {self.schedule!r} is not one of {', '.join(SCHEDULES)}")

    def rates(self) -> list[float]:
        """Learning rate of every step."""
        return learning_rates(self.learning_rate, self.steps, self.warmup_steps, self.schedule)
