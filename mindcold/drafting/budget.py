"""How many draft tokens a step should verify: measured cost of a row against measured acceptance."""

from collections.abc import Sequence

DECAY = 0.9
"""Weight of the past in the running average of what came true."""

FORGET = 0.98
"""Weight of the past in the measurement of steps."""

PRIOR = 0.03
"""What a row is taken to add to a step's time, as a share of it, before steps of different sizes were measured."""

RETRY = 32
"""Steps without a draft after which one is tried again, as things may have changed."""


class Budget:
    """Chooses the size of the next draft so that the expected time per token is least.

    The expected number of tokens of a step is one and the probabilities of its nodes, corrected by how many of the
    nodes drafted lately came true. Its time is a line over the rows, fitted to the steps measured lately. A draft that
    does not pay is left out, and tried again after some steps.
    """

    def __init__(self) -> None:
        # running sums of the line's least squares, over rows and seconds
        self._weight = self._rows = self._squares = self._seconds = self._products = 0.0
        self._expected, self._accepted = 1.0, 1.0
        self._without = 0

    def choose(self, odds: Sequence[float], known: int, streams: int, most: int) -> int:
        """Nodes to verify of a draft: `known` rows are in the step anyway, each node takes `streams`, `most` fit."""
        trust = self._accepted / self._expected
        count = min(len(odds), most)
        times = self.times(known, streams, count)
        best, best_rate, tokens = 0, 1.0 / times[0], 1.0
        for i in range(count):
            tokens += min(1.0, trust * odds[i])
            rate = tokens / times[i + 1]
            if rate > best_rate * 1.02:
                best, best_rate = i + 1, rate
        self._without = self._without + 1 if best == 0 and count else 0
        if self._without >= RETRY:
            self._without = 0
            return min(count, 2)
        return best

    def times(self, known: int, streams: int, count: int) -> list[float]:
        """Expected times of steps with 0 .. count nodes, in any unit."""
        base, slope = self.line()
        return [base + slope * (known + i * streams) for i in range(count + 1)]

    def line(self) -> tuple[float, float]:
        """Time of a step as a line over its rows: where it starts, and what a row adds."""
        if not self._weight:
            return 1.0, PRIOR
        mean_rows, mean = self._rows / self._weight, self._seconds / self._weight
        spread = self._squares / self._weight - mean_rows**2
        together = self._products / self._weight - mean_rows * mean
        # a little weight on the prior, so that steps of one size alone give a line too
        slope = (together + PRIOR * mean * 0.1) / (spread + 0.1)
        slope = max(slope, 0.0)
        return max(mean - slope * mean_rows, 0.1 * mean), slope

    def measured(self, rows: int, seconds: float) -> None:
        """A step of so many rows took this long."""
        if self._weight:
            base, slope = self.line()
            seconds = min(seconds, 3 * (base + slope * rows))  # a pause of the machine is not the step's
        for name, value in (
            ("_weight", 1.0),
            ("_rows", rows),
            ("_squares", rows * rows),
            ("_seconds", seconds),
            ("_products", rows * seconds),
        ):
            setattr(self, name, FORGET * getattr(self, name) + value)

    def observed(self, odds: Sequence[float], accepted: int) -> None:
        """A draft with these node probabilities had so many nodes accepted."""
        self._expected = DECAY * self._expected + (1 - DECAY) * sum(odds)
        self._accepted = DECAY * self._accepted + (1 - DECAY) * accepted
