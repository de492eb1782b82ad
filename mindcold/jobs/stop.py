"""Pre-emption: SIGTERM and SIGINT end a job in order, with an exit code that says "run me again"."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

GRACE = 10.0
"""Seconds that what has begun is given to end."""

AGAIN = 75
"""Exit code of a job that goes on when it is run again (EX_TEMPFAIL of sysexits.h)."""


class StopSignal:
    """Notes SIGTERM and SIGINT in a block, instead of what they would do; a second one leaves no more time."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        for number, handler in self._former.items():
            signal.signal(number, handler)

    @property
    def received(self) -> bool:
        """Whether one has come."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """Since then; 0 before."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._since = time.monotonic() if self._since is None else -GRACE
