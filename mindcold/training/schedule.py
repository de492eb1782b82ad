"""Learning rate per step."""

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": lambda progress: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress: 1 - progress,
    "constant": lambda progress: 1.0,
}
"""Name to the part of the peak after the warm-up, from progress 0 to 1: cosine ends at a tenth, linear at nothing."""


def learning_rates(peak: float, steps: int, warmup: int, schedule: str = "cosine") -> list[float]:
    """Linear rise to `peak` over `warmup` steps, then the schedule down to the last step."""
    shape, span = SCHEDULES[schedule], max(1, steps - 1 - warmup)
    return [
        peak * (step + 1) / warmup if step < warmup else peak * shape((step - warmup) / span) for step in range(steps)
    ]
