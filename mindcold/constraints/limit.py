"""A limit on the time a piece of Python code may take."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Overtime(BaseException):
    """Raised in a block that takes too long; no code that catches Exception keeps it."""


class _Raised(BaseException):
    """What the caller's own handler has raised, on its way out of the block, where nothing may take it for its own."""

    def __init__(self, error: BaseException):
        self.error = error


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overtime when the block takes longer: inside it by SIGALRM where that can be, else at its end.

    It can be in the main thread of a system with interval timers. A timer the caller has running goes off when it is
    due, inside the block too; what its handler raises leaves the block as it is.
    """
    began = time.monotonic()
    if _can_interrupt():
        with _timers(seconds):
            yield
    else:
        yield
    if time.monotonic() - began > seconds:
        raise Overtime


@contextmanager
def alarms_through() -> Iterator[None]:
    """A block without a limit that lets an alarm of the caller through as `time_limit` does."""
    if _can_interrupt() and signal.getitimer(signal.ITIMER_REAL)[0]:
        with _timers(math.inf):
            yield
    else:
        yield


@contextmanager
def _timers(seconds: float) -> Iterator[None]:
    timers = _Timers(seconds)
    try:
        timers.begin()
        yield
    except _Raised as raised:
        raise raised.error from raised.error.__cause__
    finally:
        timers.end()


def _can_interrupt() -> bool:
    main = threading.current_thread() is threading.main_thread()
    # a handler that was not set from Python reads None and could not be put back
    return main and hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is not None


class _Timers:
    """The one interval timer of a process as two: the caller's, and that of a limit."""

    def __init__(self, seconds: float):
        self._limit, self._running = time.monotonic() + seconds, False
        self._handler: Any = None
        self._due: float | None = None
        """When the caller's timer goes off next."""
        self._interval = 0.0

    def begin(self) -> None:
        """Take the timer over."""
        self._read_callers()
        self._handler = signal.signal(signal.SIGALRM, self._ring)
        self._running = True
        self._arm()

    def end(self) -> None:
        """Give the timer back, with what is left of the caller's time."""
        if not self._running:
            return
        self._running = False  # first of all: a signal from here on must not keep the rest from being done
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._handler)
        if self._due is not None:
            signal.setitimer(signal.ITIMER_REAL, max(self._due - time.monotonic(), 1e-6), self._interval)

    def _read_callers(self) -> None:
        """Stop the timer that runs, and take it for the caller's."""
        left, self._interval = signal.setitimer(signal.ITIMER_REAL, 0)
        self._due = time.monotonic() + left if left else None

    def _arm(self) -> None:
        first = self._limit if self._due is None else min(self._limit, self._due)
        if first < math.inf:
            signal.setitimer(signal.ITIMER_REAL, max(first - time.monotonic(), 1e-6))

    def _ring(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._running:  # it came while the timer is given back, which sets it anew
            return
        if self._due is not None and now >= self._due:
            self._due = now + self._interval if self._interval else None
            self._call(number, frame)
        if now >= self._limit:
            raise Overtime
        self._arm()

    def _call(self, number: int, frame: FrameType | None) -> None:
        """What the caller's handler does, which may set the timer anew or choose another handler."""
        due, interval = self._due, self._interval
        signal.signal(signal.SIGALRM, self._handler)
        try:
            if callable(self._handler):
                self._handler(number, frame)
            elif self._handler is signal.SIG_DFL:
                os.kill(os.getpid(), number)  # ends the process, as it would have without the limit
        except BaseException as error:
            raise _Raised(error) from error
        finally:
            self._read_callers()
            if self._due is None:
                self._due, self._interval = due, interval
            self._handler = signal.signal(signal.SIGALRM, self._ring)
