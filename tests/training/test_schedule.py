"""The learning rate per step."""

import math
from itertools import pairwise

import pytest

from mindcold.training.schedule import SCHEDULES, learning_rates


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warmup_rises_linearly_to_the_peak(schedule):
    assert learning_rates(2.0, 100, 4, schedule)[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]


def test_cosine_ends_at_a_tenth_and_passes_the_middle():
    rates = learning_rates(1.0, 111, 10)
    assert len(rates) == 111
    assert rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2)))
    assert rates[-1] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))


def test_linear_falls_evenly_to_nothing():
    rates = learning_rates(1.0, 21, 10, "linear")
    assert rates[10:] == pytest.approx([1 - i / 10 for i in range(11)])


def test_constant_stays():
    assert set(learning_rates(0.3, 5, 0, "constant")) == {0.3}


def test_no_warmup_starts_at_the_peak():
    assert learning_rates(0.3, 5, 0)[0] == pytest.approx(0.3)
