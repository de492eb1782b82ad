"""Learning rate per step."""

import math


def warmup_cosine(peak: float, steps: int, warmup: int, floor: float = 0.1) -> list[float]:
    """Linear rise to `peak` over `warmup` steps, then half a cosine down to `floor * peak` at the last step."""
    rates = []
    for step in range(steps):
        if step < warmup:
            rates.append(peak * (step + 1) / warmup)
        else:
            progress = (step - warmup) / max(1, steps - 1 - warmup)
            rates.append(peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))))
    return rates
