"""A limit on the time a piece of Python code may take."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Overtime(BaseException):
    """Raised in a block that takes too long; no code that catches Exception keeps it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise Overtime when the block takes longer: inside it by SIGALRM where that can be, else at its end.

    It can be in the main thread of a system with interval timers. A timer the caller has running goes on with what is
    left of its time; one that came due meanwhile goes off right after the block.
    """
    began = time.monotonic()
    if _can_interrupt():
        with _alarm(seconds):
            yield
    else:
        yield
    if time.monotonic() - began > seconds:
        raise Overtime


def _can_interrupt() -> bool:
    main = threading.current_thread() is threading.main_thread()
    # a handler that was not set from Python reads None and could not be put back
    return main and hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) is not None


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    running = True

    def stop(*_: object) -> None:
        if running:
            raise Overtime

    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    began, handler = time.monotonic(), signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        running = False  # first of all: a signal from here on must not keep the rest from being done
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            left -= time.monotonic() - began
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), interval)
