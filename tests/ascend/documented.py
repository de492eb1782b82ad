"""MindSpore's operators for Ascend in NumPy: what the documentation of MindSpore 2.9 says they do, take and refuse.

Sources are the docstrings of the named functions of mindspore.ops in mindspore 2.9.0; arithmetic is that of the formula
in float32, rounded to the dtype of the result. Arrays of bfloat16 are those of ml_dtypes.
"""

import ml_dtypes
import numpy as np

BF16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = (np.dtype(np.float16), np.dtype(np.float32), BF16)
HALVES = (np.dtype(np.float16), BF16)


class Refused(Exception):
    """The documentation does not allow it."""


def expect(condition, message):
    """Refuse what does not hold."""
    if not condition:
        raise Refused(message)


def rms_norm(x, gamma, epsilon=1e-6):
    """`mindspore.ops.rms_norm`: y and the reciprocal of the deviation."""
    expect(x.dtype in FLOATS, f"rms_norm: x is {x.dtype}")
    expect(gamma.dtype == x.dtype, f"rms_norm: gamma is {gamma.dtype}, x is {x.dtype}")
    expect(isinstance(epsilon, float) and 0 < epsilon <= 1, f"rms_norm: epsilon {epsilon!r}")
    expect(gamma.ndim <= x.ndim and x.shape[x.ndim - gamma.ndim :] == gamma.shape, "rms_norm: shape of gamma")
    wide, axes = x.astype(np.float32), tuple(range(x.ndim - gamma.ndim, x.ndim))
    reciprocal = 1 / np.sqrt((wide * wide).mean(axis=axes, keepdims=True) + np.float32(epsilon))
    return (wide * reciprocal * gamma.astype(np.float32)).astype(x.dtype), reciprocal


def swiglu(x, dim=-1):
    """`mindspore.ops.swiglu`: Swish of the first half times the second."""
    expect(x.dtype in FLOATS, f"swiglu: {x.dtype}")
    expect(x.shape[dim] % 2 == 0, f"swiglu: {x.shape[dim]} along {dim} is odd")
    gate, up = np.split(x.astype(np.float32), 2, axis=dim)
    return (gate / (1 + np.exp(-gate)) * up).astype(x.dtype)


def rotary_position_embedding(x, cos, sin, mode=0):
    """`mindspore.ops.rotary_position_embedding`, mode 0 in the layouts BSND: x cos + [-x2, x1] sin."""
    expect(x.dtype in FLOATS and x.ndim == 4, f"rotary: x is {x.dtype} of {x.ndim} axes")
    expect(cos.dtype == x.dtype and sin.dtype == x.dtype, f"rotary: cos is {cos.dtype}, sin {sin.dtype}, x {x.dtype}")
    expect(mode == 0, "rotary: of mode 0 alone this is")
    batch, rows, heads, size = x.shape
    expect(size % 2 == 0 and size < 896, f"rotary: D is {size}")
    expect(batch < 1000 and heads < 1000, f"rotary: B is {batch}, N is {heads}")
    layouts = ((1, rows, 1, size), (batch, rows, 1, size), (batch, rows, heads, size))
    expect(cos.shape in layouts and sin.shape == cos.shape, f"rotary: cos {cos.shape} for x {x.shape}")
    wide = x.astype(np.float32)
    turned = np.concatenate((-wide[..., size // 2 :], wide[..., : size // 2]), -1)
    return (wide * cos.astype(np.float32) + turned * sin.astype(np.float32)).astype(x.dtype)


def fused_infer_attention_score(
    query,
    key,
    value,
    *,
    atten_mask=None,
    num_heads=1,
    scale=1.0,
    input_layout="BSH",
    num_key_value_heads=0,
    sparse_mode=0,
    inner_precise=1,
    dtypes=HALVES,
):
    """`mindspore.ops.fused_infer_attention_score` of several queries (Q_S > 1) in the layout BSH, with a mask given.

    `dtypes` are those it takes: tests of exact tokens add float32.
    """
    name = "fused_infer_attention_score"
    expect(query.dtype in dtypes, f"{name}: query is {query.dtype}")
    expect(key.dtype == query.dtype and value.dtype == query.dtype, f"{name}: dtypes of key and value differ")
    expect(input_layout == "BSH" and query.ndim == key.ndim == 3 and key.shape == value.shape, f"{name}: layout")
    batch, rows, width = query.shape
    kv_heads = num_key_value_heads or num_heads
    expect(rows > 1, f"{name}: a single query is the other branch")
    expect(width % num_heads == 0 and num_heads % kv_heads == 0, f"{name}: heads")
    size = width // num_heads
    expect(key.shape == (batch, key.shape[1], kv_heads * size), f"{name}: key {key.shape}")
    expect(size % 16 == 0 and size <= 512, f"{name}: D is {size}")
    expect(num_heads <= 256 and num_heads // kv_heads <= 64 and batch <= 65535, f"{name}: too many heads")
    expect(sparse_mode in (0, 1), f"{name}: sparse_mode {sparse_mode} takes a mask of 2048 x 2048")
    expect(atten_mask is not None or sparse_mode == 0, f"{name}: the whole mask is required")
    expect(inner_precise in (0, 1, 2, 3), f"{name}: inner_precise")
    hidden = np.zeros((rows, key.shape[1]), bool)
    if atten_mask is not None:
        expect(atten_mask.dtype in (np.bool_, np.int8, np.uint8), f"{name}: mask is {atten_mask.dtype}")
        expect(atten_mask.shape == hidden.shape, f"{name}: mask {atten_mask.shape} is not Q_S, KV_S")
        hidden = atten_mask != 0
    empty = hidden.all(axis=1)
    expect(inner_precise >= 2 or not empty.any(), f"{name}: rows without keys need inner_precise 2 or 3")
    out = np.zeros((batch, rows, num_heads, size), np.float32)
    for entry in range(batch):
        q, k, v = (item[entry].astype(np.float32).reshape(len(item[entry]), -1, size) for item in (query, key, value))
        for head in range(num_heads):
            mine = head * kv_heads // num_heads
            scores = np.where(hidden, -np.inf, q[:, head] @ k[:, mine].T * np.float32(scale))
            scores[empty] = 0
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            out[entry, :, head] = weights / weights.sum(axis=1, keepdims=True) @ v[:, mine]
    out[:, empty] = 0
    return out.reshape(query.shape).astype(query.dtype), np.zeros(1, np.float32)


def matmul(a, b, transpose_b=True):
    """`mindspore.ops.MatMul` on Ascend (float16, float32, bfloat16), sums in float32."""
    expect(a.dtype in FLOATS and a.dtype == b.dtype, f"MatMul: {a.dtype} by {b.dtype}")
    expect(a.ndim == b.ndim == 2, "MatMul: two axes")
    wide = b.astype(np.float32)
    return (a.astype(np.float32) @ (wide.T if transpose_b else wide)).astype(a.dtype)
