"""The peak of arithmetic: operations are counted, and none is left out."""

import ctypes

import pytest

from mindcold.ops import build
from mindcold.ops.arithmetic import SOURCE, PeakArithmetic


@pytest.mark.parametrize("bfloat16", [0, 1])
def test_every_operation_is_done_and_counted(bfloat16):
    run = ctypes.CDLL(str(build.library(SOURCE))).multiply_add
    run.argtypes, run.restype = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p], ctypes.c_int64
    # a multiplication of one by one adds one, and the low half of a float32 one is a bfloat16 zero
    operations, chains = (4 if bfloat16 else 2), 12
    found = {}
    for steps in (0, 1, 5):
        result = ctypes.c_float(1.0)
        done = run(steps, bfloat16, ctypes.byref(result))
        found[steps] = done / operations, result.value
    sums = found[1][0] / chains
    start = 1 + sums * sum(range(chains))  # no two chains are equal, or one would be computed for all
    assert sums > 0
    assert found == {steps: (steps * sums * chains, start + steps * sums * chains) for steps in found}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_the_peak_is_a_speed(dtype):
    assert 1e8 < PeakArithmetic(dtype).measure() < 1e14
