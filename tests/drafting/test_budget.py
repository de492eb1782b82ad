"""The size of drafts: nothing where it does not pay, much where it does, and a new try now and then."""

from mindcold.drafting import Budget
from mindcold.drafting.budget import RETRY


def with_times(times):
    budget = Budget()
    for _ in range(50):
        for rows, seconds in times.items():
            budget.measured(rows, seconds)
    return budget


def test_free_rows_are_all_used():
    assert with_times({1: 1.0, 16: 1.0}).choose([0.9, 0.5, 0.3, 0.2, 0.1], 1, 1, 15) >= 4


def test_dear_rows_are_used_for_sure_tokens_only():
    budget = with_times({1: 1.0, 2: 1.3, 16: 6.0})
    assert budget.choose([0.9, 0.1, 0.1], 1, 1, 15) == 1
    assert budget.choose([0.1, 0.1, 0.1], 1, 1, 15) == 0


def test_a_drafter_that_is_always_wrong_is_switched_off_and_tried_again():
    budget = with_times({1: 1.0, 2: 1.1, 9: 1.8, 16: 2.0})
    odds, sizes = [0.6] * 8, []
    for _ in range(400):
        size = budget.choose(odds, 1, 1, 15)
        sizes.append(size)
        if size:
            budget.observed(odds[:size], 0)
    assert sizes[0] > 0 and sum(size > 0 for size in sizes[-200:]) <= 200 // RETRY + 1
    assert any(sizes[-2 * RETRY :])


def test_it_comes_back_when_drafts_come_true_again():
    budget = with_times({1: 1.0, 2: 1.1, 9: 1.8, 16: 2.0})
    odds = [0.6] * 8
    for _ in range(100):
        size = budget.choose(odds, 1, 1, 15)
        if size:
            budget.observed(odds[:size], 0)
    for _ in range(40 * RETRY):
        size = budget.choose(odds, 1, 1, 15)
        if size:
            budget.observed(odds[:size], size)
    assert budget.choose(odds, 1, 1, 15) > 2


def test_two_streams_pay_twice_for_a_node():
    times = {2: 1.0, 3: 1.2, 4: 1.4, 8: 2.2}
    assert with_times(times).choose([0.3], 2, 1, 6) == 1
    assert with_times(times).choose([0.3], 2, 2, 3) == 0
