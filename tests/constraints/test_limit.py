"""The time limit beside timers of the caller: they keep their time, and their handler."""

import signal
import time

import pytest

from mindcold.constraints import ConstraintSet, Vocabulary
from mindcold.constraints.limit import Overtime, time_limit
from mindcold.constraints.rewards import TextReward


class Words:
    """As much of a tokenizer as a reward needs."""

    def decode(self, ids):
        return "a"


@pytest.fixture
def rung():
    """Times at which the caller's own alarm went off."""
    times: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: times.append(time.monotonic()))
    yield times
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def wait_until(times, count, seconds=5.0):
    end = time.monotonic() + seconds
    while len(times) < count and time.monotonic() < end:
        time.sleep(0.005)
    return len(times)


def test_a_running_timer_keeps_what_is_left_of_its_time(rung):
    signal.setitimer(signal.ITIMER_REAL, 30.0, 7.0)
    for _ in range(4):
        with time_limit(5.0):
            time.sleep(0.1)
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert 20.0 < left < 29.65 and interval == 7.0 and not rung


def test_a_timer_that_comes_due_in_the_block_goes_off_when_it_is_due(rung):
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with time_limit(5.0):
        while time.monotonic() - began < 0.4:
            time.sleep(0.01)
        assert len(rung) == 1 and 0.05 <= rung[0] - began < 0.3
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_timer_over_many_blocks_goes_off_when_it_is_due(rung):
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    while time.monotonic() - began < 0.6:
        with time_limit(5.0):
            time.sleep(0.03)
    assert len(rung) == 1 and 0.2 <= rung[0] - began < 0.5


def test_a_handler_may_set_the_timer_anew(rung):
    mine = signal.getsignal(signal.SIGALRM)

    def again(*_):
        rung.append(time.monotonic())
        if len(rung) < 3:
            signal.setitimer(signal.ITIMER_REAL, 0.03)
        else:
            signal.signal(signal.SIGALRM, mine)

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    with pytest.raises(Overtime), time_limit(0.5):
        while True:
            time.sleep(0.01)
    assert len(rung) == 3 and signal.getsignal(signal.SIGALRM) is mine
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_limit_holds_beside_an_interval(rung):
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    began = time.monotonic()
    with pytest.raises(Overtime), time_limit(0.2):
        while True:
            time.sleep(0.01)
    assert time.monotonic() - began < 2 and len(rung) >= 3


def test_limits_within_limits(rung):
    with pytest.raises(Overtime), time_limit(0.1), time_limit(5.0):
        time.sleep(3)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_the_callers_handler_raises_is_not_taken_for_the_constraints_own(rung):
    def late(text):
        time.sleep(5)
        return 1.0

    def fire(*_):
        raise TimeoutError("the caller's")

    signal.signal(signal.SIGALRM, fire)
    state = ConstraintSet.start([TextReward(late)], Vocabulary(Words(), 10, ()))
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(TimeoutError, match="the caller's"):
        state.value()


@pytest.mark.parametrize("step", ["advance", "allowed", "fork", "rollback"])
def test_nor_in_a_step_that_has_no_limit(rung, step):
    class Slow:
        cumulative = False

        def start(self, vocabulary):
            return self

        def __getattr__(self, name):
            return lambda *_: time.sleep(5) if name == step else None

    def fire(*_):
        raise TimeoutError("the caller's")

    signal.signal(signal.SIGALRM, fire)
    state = ConstraintSet.start([Slow()], Vocabulary(Words(), 10, ()))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    call, began = getattr(state, step), time.monotonic()
    with pytest.raises(TimeoutError, match="the caller's"):
        call(*([1] if step in ("advance", "rollback") else []))
    assert time.monotonic() - began < 2 and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_an_interval_goes_on(rung):
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    with time_limit(5.0):
        time.sleep(0.05)
    assert wait_until(rung, 3) >= 3


def test_overtime_gives_handler_and_timer_back(rung):
    mine = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 30.0)
    with pytest.raises(Overtime), time_limit(0.05):
        time.sleep(20)
    assert signal.getsignal(signal.SIGALRM) is mine and 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 29.96


def test_without_a_timer_none_is_left(rung):
    with time_limit(5.0):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    time.sleep(0.02)
    assert not rung


def test_what_the_callers_handler_raises_reaches_the_caller(rung):
    def fire(*_):
        raise TimeoutError("the caller's")

    signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    with pytest.raises(TimeoutError, match="the caller's"):
        with time_limit(5.0):
            time.sleep(0.1)
        time.sleep(5)
