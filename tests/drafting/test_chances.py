"""How likely drafted tokens are accepted: what was learned, and how long chains are by it."""

import math

import numpy as np
import pytest

from mindcold.drafting import budget
from mindcold.drafting.budget import Budget
from mindcold.drafting.chances import Chances
from tests.drafting.test_budget import with_times


def logistic(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(("offset", "slope"), [(0.8, 1.7), (-1.0, 1.0), (0.5, 0.3)])
def test_a_model_that_is_surer_or_less_sure_than_right_is_seen_through(offset, slope):
    """Chains of four whose tokens are accepted by a law of their own."""
    rng, chances = np.random.default_rng(0), Chances()
    tried = right = 0
    for _ in range(4000):
        odds = rng.normal(0, 2, 4)
        hits = rng.random(4) < [logistic(offset + slope * x) for x in odds]
        accepted = 4 if hits.all() else int(hits.argmin())
        chances.observed([logistic(x) for x in odds], accepted)
        tried, right = tried + min(accepted + 1, 4), right + accepted
    for x in (-2.0, -1.0, 0.0, 1.0, 2.0):
        assert chances.of(logistic(x)) == pytest.approx(logistic(offset + slope * x), abs=0.12)
    assert chances.mean == pytest.approx(right / tried, abs=0.12)


def test_a_model_is_believed_until_something_was_seen_and_no_certainty_breaks_it():
    chances = Chances()
    assert chances.of(0.3) == pytest.approx(0.3) and 0.5 < chances.mean < 0.8
    for given in (0.0, 1.0, 1e-300):
        chances.observed([given] * 3, 0)
        assert 0 <= chances.of(given) <= 1
    for _ in range(200):
        chances.observed([0.9], 0)
    assert chances.of(0.9) < 0.1 and chances.mean < 0.1


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("seconds", [0.02, 0.15, 0.6])
@pytest.mark.parametrize("mean", [0.15, 0.5, 0.8, 0.95])
def test_a_chain_is_as_long_as_tokens_come_fastest(closing, seconds, mean, monkeypatch):
    """Against the time per token of every length, where each token is accepted as often as the others."""
    monkeypatch.setattr(Chances, "mean", mean)
    monkeypatch.setattr(budget, "GAIN", 1.0)
    cost = with_times({1: 1.05, 3: 1.15, 9: 1.45})
    base, row = cost.line()

    def rate(count):
        tokens = sum(mean**i for i in range(count + 1))
        return tokens / (base + row + count * (seconds + row) + closing * mean**count * seconds)

    probabilities: list[float] = []
    while len(probabilities) < 40 and Budget().goes_on(cost, seconds, probabilities, 1, closing):
        probabilities.append(mean ** (len(probabilities) + 1))
    assert len(probabilities) == max(range(41), key=rate)
