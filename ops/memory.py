"""Large pages for large constants: with small ones a step waits for address translation as much as for the weights."""

import ctypes
import mmap

import mindspore as ms

_COLLAPSE = 25  # MADV_COLLAPSE of Linux 6.1 and later: now, not some time


def use_large_pages(parameter: ms.Parameter) -> None:
    """Ask the system to keep a Parameter's host memory in large pages; nothing happens where it can't."""
    size, page = parameter.nbytes, mmap.PAGESIZE
    if size < 1 << 21 or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    start = -(-parameter.data_ptr() // page) * page
    length = (parameter.data_ptr() + size) // page * page - start
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    madvise(start, length, mmap.MADV_HUGEPAGE)
    madvise(start, length, _COLLAPSE)
