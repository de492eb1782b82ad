"""Means and ratios over items with bootstrap intervals; draws depend on the seed alone."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
ENOUGH = 20
"""Items a setting has to be tested on to be recommended; intervals of fewer cannot be trusted."""
_CHUNK = 1 << 22  # resampled values in memory at a time


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the bounds of its interval."""

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval, as of a difference that is significant."""
        return self.low > 0 or self.high < 0


def mean(values: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of float [n] values of items with its percentile bootstrap interval (Efron 1979).

    Where all values are the same the interval has no width, however few they are.
    """
    return ratio(values, np.ones(len(values)), seed)


def difference(values: np.ndarray, others: np.ndarray, seed: int = 0) -> Estimate:
    """Mean of values - others, float [n] each, paired by item."""
    return mean(np.asarray(values, np.float64) - np.asarray(others, np.float64), seed)


def ratio(over: np.ndarray, under: np.ndarray, seed: int = 0) -> Estimate:
    """Sum of `over` by sum of `under`, float [n] each, items drawn together, as of times or of tokens and passes."""
    pairs = np.stack([np.asarray(over, np.float64), np.asarray(under, np.float64)])
    count = pairs.shape[1]
    if not count:
        raise ValueError("no items")
    rng = np.random.default_rng(seed)
    found = []
    for first in range(0, RESAMPLES, size := max(1, _CHUNK // count)):
        drawn = rng.integers(count, size=(min(size, RESAMPLES - first), count))
        sums = pairs[:, drawn].sum(axis=2)
        found.append(sums[0] / sums[1])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    total = pairs.sum(axis=1)
    return Estimate(float(total[0] / total[1]), float(low), float(high))
