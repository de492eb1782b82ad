"""How likely a drafted token is accepted, learned from what became of earlier ones."""

import math
from collections.abc import Sequence

RATE = 0.05
"""Step of the gradient of the logistic regression, for each token that was verified."""

FARTHEST = 5.0
"""Log-odds of a model's probability are cut at this, so that no single token moves the slope far."""

FORGET, PRIOR = 0.98, (3.0, 2.0)
"""Weight of the past for each draft; and how many tokens were tried and accepted before the first."""


class Chances:
    """From the probability a drafting model gives a token to that of its being accepted: a logistic of the log-odds.

    (Platt 1999.) A model may be less sure than it is right, or draft for a score that is not its own.
    """

    def __init__(self) -> None:
        self._offset, self._slope = 0.0, 1.0
        self._tried, self._accepted = PRIOR

    @property
    def mean(self) -> float:
        """Of a token of which nothing is known yet, if those before it are accepted."""
        return self._accepted / self._tried

    def of(self, given: float) -> float:
        """Of a token that has this probability in the model."""
        return _logistic(self._offset + self._slope * _log_odds(given))

    def observed(self, given: Sequence[float], accepted: int) -> None:
        """Of a chain with these probabilities, each given those before it, so many were accepted; then one was not."""
        tried = given[: accepted + 1]
        for place, probability in enumerate(tried):
            x = _log_odds(probability)
            error = (place < accepted) - _logistic(self._offset + self._slope * x)
            self._offset += RATE * error
            self._slope = max(0.0, self._slope + RATE * error * x)
        self._tried = FORGET * self._tried + (1 - FORGET) * len(tried)
        self._accepted = FORGET * self._accepted + (1 - FORGET) * min(accepted, len(tried))


def _log_odds(probability: float) -> float:
    least = _logistic(-FARTHEST)
    inside = min(max(probability, least), 1 - least)
    return math.log(inside / (1 - inside))


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
