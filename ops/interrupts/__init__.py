"""Interrupts around MindSpore: Ctrl-C becomes KeyboardInterrupt after a graph run instead of killing the process.

MindSpore installs a C handler for SIGINT at every graph run and leaves it there; the handler ends the process.
"""

import ctypes
import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

from mindcold.errors import OperatorError
from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")
_ACTION_BYTES = 256
"""More than a struct sigaction takes on any system."""

_TRIES = 10

WATCHED = 3.0
"""Seconds after the first block in which the handler is looked after."""

log = logging.getLogger("mindcold.ops")


def held() -> AbstractContextManager[None]:
    """A block that runs MindSpore graphs, in any thread, nested or in several threads at once.

    It has to wait for what it starts (`asnumpy`), since MindSpore may set its handler while a graph is on its way.

    A SIGINT or SIGTERM that arrives inside is delivered when the block ends, to whatever handler the program had
    chosen; so KeyboardInterrupt is raised in the main thread right after the block, and never inside one of its own.
    A SIGTERM that the process sends itself counts as a SIGINT, since MindSpore's handler does that. A SIGALRM that
    arrives inside a block of the main thread is delivered when that block ends: MindSpore's compiler calls Python, and
    would lose what a handler raises there. Where there is no compiler the former handler of SIGINT is put back after
    the block, but a SIGINT inside ends the process, and alarms go off inside.
    """
    return _guard()


@cache
def _guard() -> Any:
    try:
        # PyDLL: the calls keep the GIL, and raise what PyErr_CheckSignals has left
        library = ctypes.PyDLL(str(build.library(SOURCE)))
    except (OperatorError, OSError) as error:
        _put_python_back()
        log.warning("interrupts: Ctrl-C during a step will end the process (%s)", error)
        return _Restored()
    address = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p) for name in _PYTHON]
    library.initialise.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong]
    library.initialise.restype = None
    library.initialise(*address, threading.main_thread().ident)
    for _ in range(_TRIES):  # a graph from before the first block may set MindSpore's handler milliseconds later
        _put_python_back()
        if library.know():
            break
    threading.Thread(target=_watch, args=(library.settle,), daemon=True).start()
    enter, leave = library.begin, library.end
    enter.restype, leave.argtypes = None, [ctypes.py_object] * 3
    # C functions as the methods themselves: no bytecode runs between them and the block, where KeyboardInterrupt
    # could leave a block open
    return type("Held", (), {"__enter__": enter, "__exit__": leave})()


def _watch(settle: Callable[[], int]) -> None:
    """Put the handler back when MindSpore sets its own after a block, as it does milliseconds after the first."""
    until = math.inf
    while time.monotonic() < until:
        time.sleep(0.001)
        if settle() and until == math.inf:
            until = time.monotonic() + WATCHED


_PYTHON = ("PyErr_CheckSignals", "PyErr_SetInterruptEx")


def _put_python_back() -> None:
    """Undo what graphs have done before the first block, which Python allows in the main thread alone."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


class _Restored:
    """Puts the SIGINT handler back after a block and holds nothing."""

    def __init__(self) -> None:
        self._sigaction = ctypes.CDLL(None).sigaction
        self._python = ctypes.create_string_buffer(_ACTION_BYTES)
        """What Python installs for every handler that is a function."""
        self._sigaction(int(signal.SIGINT), None, self._python)
        self._lock, self._depth, self._ended = threading.Lock(), 0, 0
        threading.Thread(target=_watch, args=(self.settle,), daemon=True).start()

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._depth -= 1
            self._ended = 1
        self.settle()

    def settle(self) -> int:
        """Put back what the program has chosen; whether a block has ended."""
        with self._lock:
            handler = signal.getsignal(signal.SIGINT)
            if self._depth == 0 and self._ended and handler is not None:
                action = self._python
                if not callable(handler):  # SIG_DFL or SIG_IGN
                    action = ctypes.create_string_buffer(int(handler).to_bytes(8, "little"), _ACTION_BYTES)
                self._sigaction(int(signal.SIGINT), action, None)
            return self._ended
