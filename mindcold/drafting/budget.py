"""How many draft tokens a step should verify: measured cost of a row against measured acceptance."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate

DECAY = 0.95
"""Weight of the past in the running average of what came true."""

FORGET = 0.9
"""Weight of the past in the running average of a step's time."""

PAIRS = 96
"""Pairs of neighbouring steps of different sizes that the price of a row is taken from."""

PRIOR = 0.03
"""What a row is taken to add to a step's time, as a share of it, before steps of different sizes were measured."""

GAIN = 1.03
"""How much faster a draft must promise to be than none."""

PATIENCE = 4
"""Steps in a row whose drafts do not pay before drafting rests."""

LONGEST_REST = 64
"""Most steps without looking for a draft; after so long a rest one is tried whatever it promises."""


class StepCost:
    """What steps of a kind cost: a line over their rows.

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
            self._level = max(FORGET * base + (1 - FORGET) * start, 0.0)

    def line(self) -> tuple[float, float]:
        """Time of a step as a line over its rows: where it starts, and what a row adds."""
        if self._level is None:
            return 1.0, PRIOR
        return self._level, PRIOR * self._level if self._slope is None else self._slope


def weighted_median(pairs: Iterable[tuple[float, int]]) -> float:
    """The value at which half of the weight is reached."""
    ordered = sorted(pairs)
    reached = list(accumulate(weight for _, weight in ordered))
    return ordered[bisect_left(reached, reached[-1] / 2)][0]


class Budget:
    """Chooses the size of the next draft so that the expected time per token is least.

    The expected number of tokens of a step is one and the probabilities of its nodes, corrected by how many of the
    nodes drafted lately came true. A draft that does not pay is left out; where none pays for long, none is even looked
    for, and one is tried now and then.
    """

    def __init__(self, cost: StepCost | None = None) -> None:
        self.cost = cost or StepCost()
        self._expected, self._accepted = 1.0, 1.0
        self._misses = self._rest = 0
        self._trial = False

    def ready(self) -> bool:
        """Whether to look for a draft for this step."""
        if self._rest == 0:
            return True
        self._rest -= 1
        self._trial = self._rest == 0 and self._misses >= PATIENCE + 6
        return False

    def least(self, known: int, streams: int) -> float:
        """Probability below which no node can pay for its rows."""
        base, slope = self.cost.line()
        return slope * streams / (base + slope * known) * self._expected / self._accepted

    def choose(self, odds: Sequence[float], known: int, streams: int, most: int) -> int:
        """Nodes to verify of a draft: `known` rows are in the step anyway, each node takes `streams`, `most` fit."""
        count = min(len(odds), most)
        if self._trial and count:
            return min(count, 2)
        trust = self._accepted / self._expected
        base, slope = self.cost.line()
        time, tokens = base + slope * known, 1.0
        best, best_rate = 0, GAIN / time
        for i in range(count):
            time += slope * streams
            tokens += min(1.0, trust * odds[i])
            if tokens / time > best_rate:
                best, best_rate = i + 1, tokens / time
        if best == 0:
            self._missed()
        return best

    def observed(self, odds: Sequence[float], accepted: int) -> None:
        """A draft with these node probabilities had so many nodes accepted."""
        if self._trial:
            self._trial = False
            if accepted:  # things have changed: start anew
                self._expected, self._accepted, self._misses = 1.0, 1.0, 0
            else:
                self._missed()
            return
        self._expected = DECAY * self._expected + (1 - DECAY) * sum(odds)
        self._accepted = DECAY * self._accepted + (1 - DECAY) * accepted
        if accepted:
            self._misses = 0

    def _missed(self) -> None:
        self._misses += 1
        if self._misses > PATIENCE:
            self._rest = min(2 ** (self._misses - PATIENCE), LONGEST_REST)
