"""How many draft tokens a step should verify: measured cost of a row against measured acceptance."""

from collections.abc import Sequence

from mindcold.drafting.chances import Chances
from mindcold.engine.step_cost import StepCost

DECAY = 0.95
"""Weight of the past in the running average of what was accepted."""

GAIN = 1.03
"""How much faster a draft must promise to be than none."""

PATIENCE = 4
"""Steps in a row whose drafts do not pay before drafting rests."""

LONGEST_REST = 64
"""Steps without looking for a draft at most; after so long a rest one is tried whatever it promises."""


class Budget:
    """Chooses the size of the next draft so that the expected time per token is smallest.

    The expected number of tokens of a step is one and the path probabilities of its nodes, corrected by how many of the
    nodes drafted lately were accepted. A draft that does not pay is left out; where none pays for long, none is even
    looked for, and one is tried now and then.
    """

    def __init__(self) -> None:
        self._expected, self._accepted = 1.0, 1.0
        self._misses = self._rest = 0
        self._trial = False
        self.chances = Chances()
        """Of the tokens of chains by a model."""

    def ready(self) -> bool:
        """Whether to look for a draft for this step."""
        if self._rest == 0:
            return True
        self._rest -= 1
        self._trial = self._rest == 0 and self._misses >= PATIENCE + 6
        return False

    def floor(self, cost: StepCost, known: int, streams: int) -> float:
        """Path probability below which no node can pay for its rows."""
        base, slope = cost.line()
        return slope * streams / (base + slope * known) * self._expected / self._accepted

    def choose(self, cost: StepCost, probabilities: Sequence[float], known: int, streams: int, limit: int) -> int:
        """Nodes of a draft to verify.

        `known` rows are in the step anyway, each node takes `streams`, at most `limit` fit.
        """
        count = min(len(probabilities), limit)
        if self._trial and count:
            return min(count, 2)
        trust = self._accepted / self._expected
        base, slope = cost.line()
        seconds, tokens = base + slope * known, 1.0
        best, best_rate = 0, GAIN / seconds
        for i in range(count):
            seconds += slope * streams
            tokens += min(1.0, trust * probabilities[i])
            if tokens / seconds > best_rate:
                best, best_rate = i + 1, tokens / seconds
        if best == 0:
            self._missed()
        return best

    def goes_on(
        self, cost: StepCost, seconds: float, probabilities: Sequence[float], streams: int, closing: bool = False
    ) -> bool:
        """Whether one more token pays that costs `seconds` to draft, beside its row in each of `streams`.

        It comes after a chain with these path probabilities. With `closing` the drafting model makes a pass for every
        token that is decided, drafted or not: a draft costs passes where it is wrong alone.
        """
        count, path = len(probabilities), probabilities[-1] if probabilities else 1.0
        if self._trial:
            return count < 2
        base, slope = cost.line()
        row, ahead = slope * streams, path * self.chances.mean
        spent = base + row + count * (seconds + row) + closing * path * seconds
        more = row + seconds * ((1.0 - path + ahead) if closing else 1.0)
        pays = ahead / more > GAIN * (1.0 + sum(probabilities)) / spent
        if not pays and not count:
            self._missed()
        return pays

    def observed(self, probabilities: Sequence[float], accepted: int, given: Sequence[float] = ()) -> None:
        """A draft with these path probabilities had so many nodes accepted.

        `given` is what a model gave each token of a chain.
        """
        if self._trial:
            self._trial = False
            if accepted:  # things have changed: start anew
                self._expected, self._accepted, self._misses = 1.0, 1.0, 0
                self.chances = Chances()
            else:
                self._missed()
        else:
            self._expected = DECAY * self._expected + (1 - DECAY) * sum(probabilities)
            self._accepted = DECAY * self._accepted + (1 - DECAY) * accepted
            if accepted:
                self._misses = 0
        if given:
            self.chances.observed(given, accepted)

    def _missed(self) -> None:
        self._misses += 1
        if self._misses > PATIENCE:
            self._rest = min(2 ** (self._misses - PATIENCE), LONGEST_REST)
