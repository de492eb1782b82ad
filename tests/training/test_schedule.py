"""The learning rate per step."""

import math
from itertools import pairwise

import pytest

from mindcold.training.schedule import warmup_cosine


def test_warmup_rises_linearly_to_the_peak():
    assert warmup_cosine(2.0, 100, 4)[:4] == [0.5, 1.0, 1.5, 2.0]


def test_cosine_ends_at_a_tenth_and_passes_the_middle():
    rates = warmup_cosine(1.0, 111, 10)
    assert len(rates) == 111
    assert rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[-1] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def test_no_warmup_starts_at_the_peak():
    assert warmup_cosine(0.3, 5, 0)[0] == pytest.approx(0.3)
