"""How fast the processor multiplies and adds, by the instructions that the linears use."""

import ctypes
import time
from pathlib import Path

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")
STEPS = 100_000
"""Of every piece of work: some milliseconds."""


class PeakArithmetic:
    """Operations of all threads on what lies in registers: of bfloat16 pairs, or of float32 (int8 weights, too)."""

    def __init__(self, dtype: str):
        self._bfloat16 = int(dtype == "bfloat16")
        self._run = ctypes.CDLL(str(build.library(SOURCE))).multiply_add
        self._run.argtypes, self._run.restype = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p], ctypes.c_int64

    def measure(self) -> float:
        """Floating-point operations per second, a multiplication and an addition counted as two."""
        result, start = ctypes.c_float(0.0), time.perf_counter()
        done = self._run(STEPS, self._bfloat16, ctypes.byref(result))
        return done / (time.perf_counter() - start)
