"""Where the time of C++ operators goes, part by part; nothing is counted unless asked for."""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")
_ROOM = 1 << 14


@dataclass(frozen=True, slots=True)
class Part:
    """How often a part of an operator ran, and how long altogether, seconds."""

    count: int
    seconds: float


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build.library(SOURCE)))
    library.trace_take.restype = ctypes.c_int64
    library.trace_take.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    return library


def start() -> None:
    """Count from now on, in all threads; OperatorError where C++ cannot be built."""
    _library().trace_on()
    take()


def stop() -> None:
    """Count no more."""
    _library().trace_off()


def take() -> dict[str, Part]:
    """What was counted since the last call, by the name of the part."""
    text = ctypes.create_string_buffer(_ROOM)
    _library().trace_take(text, _ROOM)
    lines = [line.split() for line in text.value.decode().splitlines()]
    return {name: Part(int(count), int(nanoseconds) / 1e9) for name, count, nanoseconds in lines}
