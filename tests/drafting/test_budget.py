"""The size of drafts: nothing where it does not pay, much where it does, and a new try now and then."""

import random

from mindcold.drafting import Budget
from mindcold.drafting.budget import LONGEST_REST
from mindcold.engine import StepCost


def with_times(times):
    cost = StepCost()
    for _ in range(50):
        for rows, seconds in times.items():
            cost.measured(rows, seconds)
    return cost


def decode(budget, cost, right):
    """One step with a draft of eight nodes, all of which promise 0.6; its size."""
    probabilities = [0.6] * 8
    size = budget.choose(cost, probabilities, 1, 1, 15) if budget.ready() else 0
    if size:
        budget.observed(probabilities[:size], int(right * size))
    return size


def test_free_rows_are_all_used():
    assert Budget().choose(with_times({1: 1.0, 16: 1.0}), [0.9, 0.5, 0.3, 0.2, 0.1], 1, 1, 15) >= 4


def test_dear_rows_are_used_for_sure_tokens_only():
    budget, cost = Budget(), with_times({1: 1.0, 2: 1.3, 16: 6.0})
    assert budget.choose(cost, [0.9, 0.1, 0.1], 1, 1, 15) == 1
    assert budget.choose(cost, [0.1, 0.1, 0.1], 1, 1, 15) == 0


def test_a_drafter_that_is_always_wrong_is_switched_off_and_tried_again():
    budget, cost = Budget(), with_times({1: 1.0, 2: 1.1, 9: 1.8, 16: 2.0})
    sizes = [decode(budget, cost, 0.0) for _ in range(800)]
    assert sizes[0] > 0 and sum(size > 0 for size in sizes[-400:]) <= 400 // LONGEST_REST + 1
    assert any(sizes[-2 * LONGEST_REST :])


def test_it_comes_back_when_drafts_are_accepted_again():
    budget, cost = Budget(), with_times({1: 1.0, 2: 1.1, 9: 1.8, 16: 2.0})
    for _ in range(400):
        decode(budget, cost, 0.0)
    sizes = [decode(budget, cost, 1.0) for _ in range(2 * LONGEST_REST)]
    assert sum(sizes[-8:]) > 16


def test_two_streams_pay_twice_for_a_node():
    times = {2: 1.0, 3: 1.2, 4: 1.4, 8: 2.2}
    assert Budget().choose(with_times(times), [0.3], 2, 1, 6) == 1
    assert Budget().choose(with_times(times), [0.3], 2, 2, 3) == 0


def test_the_price_of_a_row_survives_pauses_and_busy_spells():
    """Steps of 1 + 0.1 per row, a tenth of them with a pause, on a machine that is busy for half of the time."""
    rng, cost = random.Random(0), StepCost()
    for i in range(2000):
        rows = rng.choice((1, 5, 9, 13))
        busy = 2.0 if i // 200 % 2 else 1.0
        cost.measured(rows, (1 + 0.1 * rows) * busy * (10.0 if rng.random() < 0.1 else 1.0))
    base, slope = cost.line()
    assert 0.05 < slope / base < 0.2


def test_before_anything_is_measured_rows_are_cheap():
    base, slope = StepCost().line()
    assert 0 < slope < 0.1 * base


def test_no_node_is_chosen_that_was_not_worth_looking_for():
    """Whatever the others promise: a node below the floor lowers the rate of any draft."""
    budget, cost, rng = Budget(), with_times({1: 1.0, 2: 1.1, 9: 1.8, 16: 2.5}), random.Random(0)
    budget.observed([0.5, 0.5], 1)
    for known, streams in ((1, 1), (2, 2), (8, 1)):
        floor = budget.floor(cost, known, streams)
        assert 0 < floor < 1
        for _ in range(200):
            found = sorted((rng.random() ** 3 for _ in range(12)), reverse=True)
            assert all(p >= floor for p in found[: budget.choose(cost, found, known, streams, 15)])


def test_times_that_fell_apart_leave_a_price_that_can_be_divided_by():
    """Rows were dear on a busy machine, large steps then quick, and at last all steps alike."""
    cost, budget = StepCost(), Budget()
    steps = [(1, 0.01), (17, 1.0)] * 8 + [(64, 0.01)] * 200 + [(1, 0.01), (64, 0.01)] * 50
    for rows, seconds in steps:
        cost.measured(rows, seconds)
        base, slope = cost.line()
        assert base > 0 and slope >= 0
        assert budget.floor(cost, 1, 1) >= 0
        assert 0 <= budget.choose(cost, [0.9, 0.5], 1, 1, 15) <= 2
    assert base + 64 * slope > 0.005  # and the price comes back


def test_trees_teach_nothing_about_chains():
    """However many of them come first."""
    budget = Budget()
    before = budget.chances.mean
    for _ in range(50_000):
        budget.observed([0.5], 1)
    assert budget.chances.mean == before
    budget.observed([0.5, 0.4], 2, [0.5, 0.8])
    assert budget.chances.mean > before
