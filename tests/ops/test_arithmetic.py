"""The peak of arithmetic: operations are counted, and more of them take longer."""

import ctypes

import pytest

from mindcold.ops import build
from mindcold.ops.arithmetic import SOURCE, PeakArithmetic


@pytest.mark.parametrize("bfloat16", [0, 1])
def test_every_operation_is_done_and_counted(bfloat16):
    run = ctypes.CDLL(str(build.library(SOURCE))).multiply_add
    run.argtypes, run.restype = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p], ctypes.c_int64
    for steps in (0, 1, 5):
        result = ctypes.c_float(1.0)
        done = run(steps, bfloat16, ctypes.byref(result))
        # a multiplication of one by one adds one, and the low half of a float32 one is a bfloat16 zero
        assert result.value == 1 + done / (4 if bfloat16 else 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_peak_is_a_speed(dtype):
    assert 1e8 < PeakArithmetic(dtype).measure() < 1e14
