"""The machine's memory: large pages for large constants, and how fast it can be read."""

import ctypes
import mmap
import time
from pathlib import Path

import mindspore as ms
import numpy as np

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")
LARGE_PAGE, SMALLEST = 1 << 21, 1 << 17
"""Bytes of a page, and of what it is asked for."""

_COLLAPSE = 25  # MADV_COLLAPSE of Linux 6.1 and later: now, not some time


def use_large_pages(value: ms.Tensor | np.ndarray) -> None:
    """Ask the system to keep host memory in large pages, for a step waits for address translation otherwise.

    The pages it has a part of, too: smaller constants lie side by side in them. Nothing happens where the system can't.
    """
    address = value.ctypes.data if isinstance(value, np.ndarray) else value.data_ptr()
    if value.nbytes < SMALLEST or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    start = address // LARGE_PAGE * LARGE_PAGE
    length = -(-(address + value.nbytes) // LARGE_PAGE) * LARGE_PAGE - start
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    madvise(start, length, mmap.MADV_HUGEPAGE)
    madvise(start, length, _COLLAPSE)


class ReadBandwidth:
    """How fast memory of a size streams through all threads of the operators."""

    def __init__(self, size: int):
        self._data = np.ones(size // 64 * 64, np.uint8)
        use_large_pages(self._data)
        self._read = ctypes.CDLL(str(build.library(SOURCE))).read_memory
        self._read.argtypes = [ctypes.c_void_p, ctypes.c_int64]

    def measure(self) -> float:
        """Bytes per second of one pass."""
        start = time.perf_counter()
        self._read(self._data.ctypes.data, self._data.nbytes)
        return self._data.nbytes / (time.perf_counter() - start)
