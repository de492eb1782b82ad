"""The time limit beside timers of the caller: they keep their time, and their handler."""

import signal
import time

import pytest

from mindcold.constraints.limit import Overtime, time_limit


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


def test_a_timer_that_comes_due_in_the_block_goes_off_right_after_it(rung):
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with time_limit(5.0):
        while time.monotonic() - began < 0.2:
            time.sleep(0.01)
        assert not rung
    assert wait_until(rung, 1) == 1 and rung[0] - began >= 0.2


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
