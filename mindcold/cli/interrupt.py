"""Ctrl-C while a command starts: MindSpore does not survive an exception in the middle of its import."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CODE = 128 + signal.SIGINT
"""Exit code of a command that was interrupted, as the shell has it."""


@contextmanager
def heeded(name: str) -> Iterator[None]:
    """A block in which Ctrl-C ends the command of this name in one line, also where it is still importing.

    Before MindSpore is there nothing has been written, and the process ends at once; later it is KeyboardInterrupt.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if _is_starting(frame):
            os.write(2, f"{name}: stopped\n".encode())
            os._exit(CODE)
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is stop:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_starting(frame: FrameType | None) -> bool:
    """Whether a module is being imported, and MindSpore is not there yet."""
    module = sys.modules.get("mindspore")
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        return False
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
