"""The bodies for Ascend over stand-ins against the contracts, and what the stand-ins refuse."""

import mindspore as ms
import numpy as np
import pytest

from mindcold.errors import OperatorError
from mindcold.ops import lora_linear, rope, swiglu, tree_attention
from mindcold.ops.ascend import ACTIVATIONS
from mindcold.ops.lora_linear.reference import LowRank, restored, stored
from mindcold.ops.rows import Row
from mindcold.ops.tree_attention import cache_dtype
from tests.ascend import documented
from tests.ascend.stand_ins import array, ascend_graph
from tests.ops.test_tree_attention import forest

KEPT = ("float32", "bfloat16", "int8")
ROUNDING = {"float32": 1e-5, "bfloat16": 2**-8, "int8": 2**-11}
"""Of an activation, relative."""


def near(found, expected, rounding, steps=4):
    np.testing.assert_allclose(found, expected, rtol=0, atol=steps * rounding * np.abs(expected).max(initial=1))


@pytest.mark.parametrize("kept", KEPT)
def test_lora_linear(kept):
    rng = np.random.default_rng(3)
    value = rng.standard_normal((96, 64)).astype(np.float32)
    pairs = [LowRank(n, n, rng.standard_normal((r, 64)), rng.standard_normal((48, r))) for n, r in ((0, 4), (2, 16))]
    x, bias = rng.standard_normal((16, 64)).astype(np.float32), rng.standard_normal(96).astype(np.float32)
    norm, residual = rng.uniform(0.5, 2, 64).astype(np.float32), rng.standard_normal((16, 96)).astype(np.float32)
    adapter = rng.integers(-2, 4, 16).astype(np.int32)
    expected = lora_linear.reference(x, restored(*stored(value, kept)), bias, pairs, adapter, residual, norm, 1e-5)
    dtype = ACTIVATIONS[kept]
    with ascend_graph() as calls:
        weight = lora_linear.choose().make("w", value.shape, kept)
        weight.put(0, value)
        weight.freeze()
        cell = weight.linear(bias, pairs, norm, 1e-5)
        out = cell(ms.Tensor(x, dtype), ms.Tensor(adapter), ms.Tensor(residual, dtype))
        assert out.dtype == dtype and weight.same(weight)
        taken = array(weight.lookup()(ms.Tensor([3, 95], ms.int32))).astype(np.float32)
    assert calls == {"rms_norm"} and weight.nbytes == 96 * 64 * (4 if kept == "float32" else 2)
    real = adapter >= -1
    near(array(out).astype(np.float32)[real], expected[real], ROUNDING[kept], 8)
    near(taken, restored(*stored(value, kept))[[3, 95]], ROUNDING[kept])


@pytest.mark.parametrize("kept", KEPT)
def test_swiglu(kept):
    x = np.random.default_rng(1).standard_normal((16, 96)).astype(np.float32)
    adapter = np.zeros(16, np.int32)
    with ascend_graph():
        out = swiglu.body()(ms.Tensor(x, ACTIVATIONS[kept]), ms.Tensor(adapter))
    assert out.dtype == ACTIVATIONS[kept]
    near(array(out).astype(np.float32), swiglu.reference(x, adapter), ROUNDING[kept])


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("normed", [False, True])
def test_rope(kept, normed):
    rng = np.random.default_rng(2)
    qkv, angle = rng.standard_normal((16, 8 * 32)).astype(np.float32), rng.uniform(0, 100, (16, 1, 16))
    cos, sin, adapter = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32), np.zeros(16, np.int32)
    norms = {name: rng.uniform(0.5, 2, 32).astype(np.float32) for name in ("q_norm", "k_norm")} if normed else {}
    expected = rope.reference(qkv, cos[:, 0], sin[:, 0], adapter, 4, 2, **norms)
    with ascend_graph():
        body = rope.body(num_heads=4, num_kv_heads=2, head_dim=32, **norms)
        out = body(ms.Tensor(qkv, ACTIVATIONS[kept]), ms.Tensor(cos), ms.Tensor(sin), ms.Tensor(adapter))
    for found, wanted in zip(out, expected, strict=True):
        assert found.dtype == ACTIVATIONS[kept] and found.shape == wanted.shape
        near(array(found).astype(np.float32), wanted, ROUNDING[kept])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kept", ["float32", "bfloat16"])
def test_tree_attention(kept, seed):
    """Random trees of segments and drafts, with moves before them; keys and values are those of the contract."""
    rng, window, slots = np.random.default_rng(seed), (0, 3)[seed % 2], 96
    rows = forest(seed)
    sources = np.sort(rng.choice(np.arange(slots - 20, slots - 1), 5, replace=False))
    rows[Row.SOURCE, :5], rows[Row.TARGET, :5] = sources, sources - rng.integers(1, 6) - 12
    q, k, v = (rng.standard_normal((16, heads, 16)).astype(np.float32) for heads in (4, 2, 2))
    caches = [rng.standard_normal((slots, 2, 16)).astype(np.float32) for _ in range(2)]
    for cache in caches:
        cache[-1] = 0
    with ascend_graph():
        dtype = tree_attention_dtype(kept)
        body = tree_attention.body(num_heads=4, num_kv_heads=2, head_dim=16, window=window)
        mine = [ms.Parameter(ms.Tensor(cache, dtype), name=f"cache{i}") for i, cache in enumerate(caches)]
        inputs = [ms.Tensor(item, ACTIVATIONS[kept]) for item in (q, k, v)]
        matrix = ms.Tensor(rows)
        out = body(*inputs, *mine, matrix, body.prepare(matrix, slots))
    assert out.dtype == ACTIVATIONS[kept]
    expected = tree_attention.reference(q, k, v, *caches, rows, window)
    rounding = ROUNDING["int8" if kept == "float32" else kept]
    near(array(out).astype(np.float32), expected, rounding)
    for found, wanted in zip(mine, caches, strict=True):
        near(array(found).astype(np.float32)[:-1], wanted[:-1], rounding)
        assert not array(found)[-1].any()  # nobody's slot stays finite whatever padding computes


def tree_attention_dtype(kept):
    dtype = cache_dtype(kept)
    assert dtype == {"float32": ms.float16, "bfloat16": ms.bfloat16}[kept]
    return dtype


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head_dim": 24}, "head_dim 24 is not a multiple of 16"),
        ({"head_dim": 528}, "head_dim 528 is above 512"),
        ({"num_heads": 260}, "260 query heads are above 256"),
        ({"num_heads": 130}, "130 query heads are above 64 times 2 key heads"),
    ],
)
def test_what_the_attention_does_not_take_is_said_before_it_runs(changes, reason):
    with ascend_graph(), pytest.raises(OperatorError, match=reason):
        tree_attention.body(**{"num_heads": 4, "num_kv_heads": 2, "head_dim": 16} | changes)


def test_the_stand_ins_refuse_what_the_documentation_refuses():
    half, single = np.zeros((1, 16, 64), np.float16), np.zeros((1, 32, 32), np.float16)
    mask, heads = np.zeros((16, 32), bool), {"num_heads": 4, "num_key_value_heads": 2}
    attention, rotary = documented.fused_infer_attention_score, documented.rotary_position_embedding
    x, cos = np.zeros((1, 16, 4, 16), np.float16), np.zeros((1, 16, 1, 16), np.float16)
    hidden = mask.copy()
    hidden[3] = True
    for refused in (
        lambda: attention(half.astype(np.float32), single, single, atten_mask=mask, **heads),
        lambda: attention(half, single, single, atten_mask=mask.astype(np.float16), **heads),
        lambda: attention(half, single, single, atten_mask=mask[:, :31], **heads),
        lambda: attention(half[:, :1], single, single, atten_mask=mask[:1], **heads),
        lambda: attention(half, single, single, atten_mask=mask, sparse_mode=3, **heads),
        lambda: attention(half, single, single, atten_mask=hidden, inner_precise=1, **heads),
        lambda: attention(half, single, single, atten_mask=mask, num_heads=8, num_key_value_heads=4),
        lambda: documented.rms_norm(half, np.ones(64, np.float32)),
        lambda: documented.rms_norm(half, np.ones(64, np.float16), 0.0),
        lambda: documented.swiglu(np.zeros((2, 3), np.float32)),
        lambda: documented.swiglu(np.zeros((2, 4), np.float64)),
        lambda: rotary(x, cos.astype(np.float32), cos),
        lambda: rotary(x, cos[:, :, 0], cos[:, :, 0]),
        lambda: rotary(x[0], cos, cos),
        lambda: documented.matmul(half[0], single[0].astype(np.float32)),
    ):
        with pytest.raises(documented.Refused):
            refused()
