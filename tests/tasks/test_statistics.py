"""Intervals: what must hold of them, and that they cover what they should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.tasks.statistics import Estimate, difference, mean, ratio

VALUES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)


@given(VALUES)
@settings(max_examples=25, deadline=None)
def test_a_mean_lies_in_its_interval_and_within_the_values(values):
    found = mean(np.array(values))
    assert found.value == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9
    assert found == mean(np.array(values)) and (found.low <= found.value + 1e-9) and (found.value <= found.high + 1e-9)


@given(VALUES, st.floats(-1, 1, width=32))
@settings(max_examples=25, deadline=None)
def test_a_shift_moves_the_difference_alone(values, shift):
    a = np.array(values)
    found = difference(a + shift, a)
    assert [found.value, found.low, found.high] == pytest.approx([shift] * 3, abs=1e-6)
    same = difference(a, a)
    assert (same.value, same.low, same.high) == (0, 0, 0) and not same.excludes_zero


def test_coverage():
    """Of 300 samples from a known distribution about 95 % have its mean in the interval."""
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(300):
        found = mean(rng.random(60) < 0.3, seed=i)
        hits += found.low <= 0.3 <= found.high
    assert 270 <= hits <= 297


def test_pairs_are_worth_more_than_two_samples():
    """Items differ much more than methods do: paired, a small gain is found."""
    rng = np.random.default_rng(1)
    base = rng.normal(0, 10, 100)
    gain = difference(base + rng.normal(1, 0.5, 100), base)
    assert gain.excludes_zero and gain.low > 0.8 and gain.high - gain.low < 0.3
    assert not difference(rng.permutation(base) + 1, base).excludes_zero


def test_ratio_of_sums():
    found = ratio(np.array([1.0, 30.0]), np.array([1.0, 10.0]))
    assert found.value == pytest.approx(31 / 11) and (found.low, found.high) == (1.0, 3.0)
    assert ratio(np.full(7, 3.0), np.full(7, 2.0)) == Estimate(1.5, 1.5, 1.5)
    with pytest.raises(ValueError, match="no items"):
        mean(np.array([]))


def test_the_seed_decides():
    values = np.random.default_rng(2).random(40)
    assert mean(values, 1) == mean(values, 1) != mean(values, 2)


def test_many_items_are_drawn_in_parts():
    values = np.random.default_rng(3).random(5000)
    found = mean(values)
    width = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert found.high - found.low == pytest.approx(width, rel=0.05)
