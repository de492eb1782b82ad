"""lora_linear: every body against the contract over a grid, and the promises the engine builds on."""

import ctypes
import platform
import subprocess

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.errors import OperatorError
from mindcold.ops import build, lora_linear
from mindcold.ops.lora_linear.aot import SOURCE, concatenated
from mindcold.ops.lora_linear.reference import DTYPES, PADDING, LowRank, restored, rounded, stored
from mindcold.ops.lora_linear.reference import lora_linear as reference

BODIES = ("aot", "builtin")


def weight_of(backend, dtype, value, block=32):
    """A weight filled in blocks, and the float32 matrix it stands for."""
    weight = lora_linear.choose(backend).make("w", value.shape, dtype)
    for first in range(0, len(value), block):
        weight.put(first, value[first : first + block])
    weight.freeze()
    return weight, restored(*stored(value, dtype))


def run(cell, x, adapter, residual=None):
    def step(x, adapter, residual):
        return cell(x, adapter, residual)

    residual = cell.none if residual is None else ms.Tensor(residual)
    return ms.jit(step)(ms.Tensor(x), ms.Tensor(adapter), residual).asnumpy()


def some_pairs(rng, outputs, inputs, ranks):
    """Pairs of several adapters, some on a part of the outputs only."""
    pairs = []
    for number, rank in enumerate(ranks):
        if rank:
            first = int(rng.integers(0, max(1, outputs // 2)))
            count = int(rng.integers(1, outputs - first + 1))
            a = rng.standard_normal((rank, inputs)).astype(np.float32)
            pairs.append(LowRank(number, first, a, rng.standard_normal((count, rank)).astype(np.float32)))
    return pairs


def close(out, expected, inputs):
    scale = float(np.abs(expected).max(initial=1.0))
    np.testing.assert_allclose(out, expected, rtol=0, atol=3e-6 * scale * np.sqrt(inputs))


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (33, 7), (96, 64), (70, 131), (300, 515)])
def test_grid(backend, dtype, outputs, inputs):
    rng = np.random.default_rng(outputs)
    value = rng.standard_normal((outputs, inputs)).astype(np.float32)
    weight, matrix = weight_of(backend, dtype, value)
    bias = rng.standard_normal(outputs).astype(np.float32)
    norm = rng.uniform(0.5, 2, inputs).astype(np.float32)
    pairs = some_pairs(rng, outputs, inputs, (0, 1, 64, 5))
    plain, full = weight.linear(None, []), weight.linear(bias, pairs, norm, 1e-5)
    for rows in (1, 2, 3, 4, 7, 13, 25, 64):
        x = rng.standard_normal((rows, inputs)).astype(np.float32)
        adapter = rng.integers(-2, 4, rows).astype(np.int32)
        real = adapter > PADDING
        residual = rng.standard_normal((rows, outputs)).astype(np.float32)
        expected = reference(x, matrix, bias, pairs, adapter, residual, norm, 1e-5, dtype)
        for _ in range(2):
            close(run(full, x, adapter, residual)[real], expected[real], inputs)
        close(run(plain, x, adapter)[real], reference(x, matrix, None, [], adapter, dtype=dtype)[real], inputs)


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_lookup_gives_lines_of_the_weight(backend, dtype):
    value = np.random.default_rng(0).standard_normal((77, 19)).astype(np.float32)
    weight, matrix = weight_of(backend, dtype, value)
    cell, number = weight.lookup(), np.array([76, 0, 31, 32, 5], np.int32)

    def step(number):
        return cell(number)

    np.testing.assert_array_equal(ms.jit(step)(ms.Tensor(number)).asnumpy(), matrix[number])


def test_a_weight_stored_in_bfloat16_loses_nothing():
    """With inputs that bfloat16 holds too, the product is that of float32, but for the order of sums."""
    rng = np.random.default_rng(1)
    value, x = (
        restored(*stored(rng.standard_normal(size).astype(np.float32), "bfloat16")) for size in ((64, 96), (5, 96))
    )
    adapter = np.full(5, -1, np.int32)
    outs = [run(weight_of("aot", dtype, value)[0].linear(None, []), x, adapter) for dtype in ("float32", "bfloat16")]
    close(*outs, 96)


def in_order(x, matrix):
    """Pair by pair the odd input, then the even one."""
    out = np.zeros((len(x), len(matrix)), np.float32)
    for k in range(0, x.shape[1], 2):
        for one in (k + 1, k):
            out = (out.astype(np.float64) + np.outer(x[:, one], matrix[:, one])).astype(np.float32)
    return out


def in_tiles(x, matrix):
    """Sixteen pairs at a time the even and the odd inputs in chains of their own, then both, then the sum."""
    out = np.zeros((len(x), len(matrix)), np.float32)
    for begin in range(0, x.shape[1], 32):
        chains = np.zeros((2, *out.shape), np.float32)
        for k in range(begin, min(begin + 32, x.shape[1])):
            chains[k % 2] = (chains[k % 2].astype(np.float64) + np.outer(x[:, k], matrix[:, k])).astype(np.float32)
        out = out + (chains[0] + chains[1])
    return out


@pytest.mark.parametrize(
    ("flags", "sums"),
    [
        ((), in_order),
        (("-DMINDCOLD_NO_BF16_DOT",), in_order),
        (("-DMINDCOLD_NO_BF16_DOT", "-march=x86-64-v3"), in_order),
        (("-DMINDCOLD_EMULATE_AMX",), in_tiles),
        (("-DMINDCOLD_EMULATE_AMX", "-march=x86-64-v3"), in_tiles),
    ],
)
def test_sums_of_bfloat16_are_of_one_order_on_every_body(flags, sums, monkeypatch):
    """Each product exact, and bits that do not depend on how many rows there are: the same as the instruction."""
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, *flags))
    rng = np.random.default_rng(4)
    value = rng.standard_normal((70, 131)).astype(np.float32)
    kernel = Kernel(value, [], build.library.__wrapped__(SOURCE))  # not the one that is remembered
    matrix = np.zeros((70, 132), np.float32)
    matrix[:, :131] = restored(*stored(value, "bfloat16"))
    for rows in (1, 2, 5, 6, 7, 13, 16, 17, 32, 33, 40):
        x = np.zeros((rows, 132), np.float32)
        x[:, :131] = rng.standard_normal((rows, 131))
        given, x = x[:, :131].copy(), rounded(x, "bfloat16")
        np.testing.assert_array_equal(kernel(given, np.full(rows, -1, np.int32)), sums(x, matrix))


def test_tiles_are_asked_for_by_name_and_refused_where_there_are_none(monkeypatch):
    """They compile for a processor that has them, and are left alone unless they are wanted."""
    monkeypatch.setattr(build, "cpu_flags", lambda: "flags : avx512_bf16 amx_bf16 amx_tile")
    monkeypatch.delenv("MINDCOLD_AMX", raising=False)
    assert build.flags() == build.FLAGS
    monkeypatch.setenv("MINDCOLD_AMX", "1")
    assert build.flags() == (*build.FLAGS, "-DMINDCOLD_AMX")
    if platform.machine() == "x86_64":
        line = [build.compiler(), *build.flags(), "-march=sapphirerapids", "-S", "-o", "-", str(SOURCE)]
        assert "tdpbf16ps" in subprocess.run(line, capture_output=True, text=True, check=True).stdout
    monkeypatch.setattr(build, "cpu_flags", lambda: "flags : avx512_bf16")
    with pytest.raises(OperatorError, match="MINDCOLD_AMX: this processor has no AMX"):
        build.flags()


def test_int8_is_within_half_a_step_of_each_output():
    value = np.random.default_rng(2).standard_normal((40, 50)).astype(np.float32)
    value[3] = 0
    step = np.abs(value).max(axis=1, keepdims=True) / 127
    assert (np.abs(restored(*stored(value, "int8")) - value) <= step / 2 * 1.0001).all()


@pytest.mark.parametrize("backend", BODIES)
def test_equal_weights_are_found_equal(backend):
    value = np.random.default_rng(3).standard_normal((40, 50)).astype(np.float32)
    other = value.copy()
    other[39, 49] += 1
    first, same, different = (weight_of(backend, "float32", item)[0] for item in (value, value, other))
    assert first.same(same) and not first.same(different)


class Kernel:
    """The C++ body called without MindSpore, on one weight."""

    def __init__(self, value, pairs, library=None):
        weight, _ = weight_of("aot", "bfloat16", value)
        layer = weight.layer(None, pairs)
        self.panels, self.scale, self.vectors = weight.panels.asnumpy(), weight.scale.asnumpy(), layer.vectors
        self.low_rank, self.index = concatenated(layer)
        self.outputs = len(value)
        self.function = ctypes.CDLL(str(library or build.library(SOURCE))).lora_linear

    def __call__(self, x, adapter):
        y = np.full((len(x), self.outputs), np.nan, np.float32)
        none = np.zeros(1, np.float32)
        operands = [x, self.panels, self.scale, self.vectors, self.low_rank, self.index, adapter, none, y]
        params = (ctypes.c_void_p * 9)(*[item.ctypes.data for item in operands])
        dims = (ctypes.c_int * 9)(*[item.ndim for item in operands])
        shapes = [(ctypes.c_int64 * item.ndim)(*item.shape) for item in operands]
        shapes = (ctypes.POINTER(ctypes.c_int64) * 9)(*[ctypes.cast(s, ctypes.POINTER(ctypes.c_int64)) for s in shapes])
        dtypes = (ctypes.c_char_p * 9)(*[str(item.dtype).encode() for item in operands])
        assert self.function(9, params, dims, shapes, dtypes, None, None) == 0
        return y


@settings(deadline=None)
@given(st.data())
def test_the_bits_of_a_row_do_not_depend_on_the_rows_beside_it(data):
    """What makes drafting, batching and chunking lossless: any rows, in any company, padding anywhere."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    outputs, inputs = data.draw(st.integers(1, 100)), data.draw(st.integers(1, 600))
    pairs = some_pairs(rng, outputs, inputs, (2, 9))
    kernel = Kernel(rng.standard_normal((outputs, inputs)).astype(np.float32), pairs)
    rows = data.draw(st.integers(1, 40))
    x, adapter = rng.standard_normal((rows, inputs)).astype(np.float32), rng.integers(-2, 3, rows).astype(np.int32)
    together = kernel(x, adapter)
    for r in range(rows):
        if adapter[r] > PADDING:
            alone = kernel(np.ascontiguousarray(x[r : r + 1]), adapter[r : r + 1])
            np.testing.assert_array_equal(alone[0], together[r])
        else:
            assert np.isnan(together[r]).all()  # left alone


def test_calls_from_two_threads_do_not_disturb_each_other():
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(5)
    kernel = Kernel(rng.standard_normal((2048, 256)).astype(np.float32), [])
    x, adapter = rng.standard_normal((4, 256)).astype(np.float32), np.full(4, -1, np.int32)
    expected = kernel(x, adapter)
    with ThreadPoolExecutor(3) as threads:
        for out in threads.map(lambda _: kernel(x, adapter), range(300)):
            np.testing.assert_array_equal(out, expected)
