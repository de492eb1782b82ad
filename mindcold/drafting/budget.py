"""How many draft tokens a step should verify: measured cost of a row against measured acceptance."""

from collections.abc import Sequence

DECAY = 0.9
"""Weight of the past in the running averages."""

RETRY = 32
"""Steps without a draft after which one is tried again, as things may have changed."""


class Budget:
    """Chooses the size of the next draft so that the expected time per token is least.

    The expected number of tokens of a step is one and the probabilities of its nodes, corrected by how many of the
    nodes drafted lately came true. Its time is what steps of that many rows took lately, between measured sizes by
    interpolation; larger sizes than ever measured are taken to cost in proportion. A draft that does not pay is left
    out, and tried again after some steps.
    """

    def __init__(self) -> None:
        self._times: dict[int, float] = {}
        self._expected, self._accepted = 1.0, 1.0
        self._without = 0

    def choose(self, odds: Sequence[float], known: int, streams: int, most: int) -> int:
        """Nodes to verify of a draft: `known` rows are in the step anyway, each node takes `streams`, `most` fit."""
        trust = self._accepted / self._expected
        best, best_rate, tokens = 0, 1.0 / self.time(known), 1.0
        for count, probability in enumerate(odds[:most], start=1):
            tokens += min(1.0, trust * probability)
            rate = tokens / self.time(known + count * streams)
            if rate > best_rate * 1.02:
                best, best_rate = count, rate
        self._without = self._without + 1 if best == 0 and odds else 0
        if self._without >= RETRY:
            self._without = 0
            return min(len(odds), most, 2)
        return best

    def time(self, rows: int) -> float:
        """Expected time of a step with so many rows, in any unit."""
        if not self._times:
            return 1.0 + 0.02 * rows
        sizes = sorted(self._times)
        if rows <= sizes[0]:
            return self._times[sizes[0]]
        if rows >= sizes[-1]:
            return self._times[sizes[-1]] * (1 + 0.5 * (rows / sizes[-1] - 1))
        high = next(size for size in sizes if size >= rows)
        low = max(size for size in sizes if size <= rows)
        if high == low:
            return self._times[low]
        share = (rows - low) / (high - low)
        return self._times[low] * (1 - share) + self._times[high] * share

    def measured(self, rows: int, seconds: float) -> None:
        """A step of so many rows took this long."""
        before = self._times.get(rows)
        # a pause of the machine is not the step's
        self._times[rows] = seconds if before is None else min(DECAY * before + (1 - DECAY) * seconds, 1.5 * before)

    def observed(self, odds: Sequence[float], accepted: int) -> None:
        """A draft with these node probabilities had so many nodes accepted."""
        self._expected = DECAY * self._expected + (1 - DECAY) * sum(odds)
        self._accepted = DECAY * self._accepted + (1 - DECAY) * accepted
