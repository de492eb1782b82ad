"""What a step costs: a line over its rows, measured as steps run."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from itertools import accumulate

FORGET = 0.9
"""Weight of the past in the running average of a step's time."""

PAIRS = 96
"""Pairs of neighbouring steps of different sizes that the price of a row is taken from."""

PRIOR = 0.03
"""What a row is taken to add to a step's time, as a share of it, before steps of different sizes were measured."""

LEAST = 0.01
"""What a step without rows is taken to cost at least, as a share of the step that was measured last."""


class StepCost:
    """What steps of a kind cost: a line over their rows, in seconds.

    The price of a row is the median of what neighbouring steps of different sizes say, so that neither a pause of the
    machine nor its being busy for a while is taken for the price.
    """

    def __init__(self) -> None:
        self._level: float | None = None
        self._slope: float | None = None
        self._last: tuple[int, float] | None = None
        self._pairs: deque[tuple[float, int]] = deque(maxlen=PAIRS)

    def measured(self, rows: int, seconds: float) -> None:
        """A step of so many rows took this long, with all that goes with it."""
        if self._last and self._last[0] != rows:
            more = rows - self._last[0]
            self._pairs.append(((seconds - self._last[1]) / more, abs(more)))
            if len(self._pairs) % 8 == 0:
                self._slope = max(0.0, weighted_median(self._pairs))
        self._last = rows, seconds
        base, slope = self.line()
        if self._level is None:
            self._level = seconds / (1 + PRIOR * rows)
        else:
            start = min(seconds, 1.5 * (base + slope * rows)) - slope * rows
            self._level = max(FORGET * base + (1 - FORGET) * start, LEAST * seconds)

    @property
    def known(self) -> bool:
        """Whether any step was measured."""
        return self._level is not None

    def line(self) -> tuple[float, float]:
        """Seconds of a step without rows, above 0, and what a row adds, not below 0."""
        if self._level is None:
            return 1.0, PRIOR
        return self._level, PRIOR * self._level if self._slope is None else self._slope


def weighted_median(pairs: Iterable[tuple[float, int]]) -> float:
    """The value at which half of the weight is reached."""
    ordered = sorted(pairs)
    reached = list(accumulate(weight for _, weight in ordered))
    return ordered[bisect_left(reached, reached[-1] / 2)][0]
