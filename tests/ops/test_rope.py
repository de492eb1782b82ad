"""rope: both bodies against the contract, and the contract against complex numbers."""

import mindspore as ms
import numpy as np
import pytest

from mindcold.ops import rope


def case(rows, heads, kv_heads, size, seed=0):
    rng = np.random.default_rng(seed)
    qkv = rng.standard_normal((rows, (heads + 2 * kv_heads) * size)).astype(np.float32)
    angle = rng.uniform(0, 100, (rows, size // 2))
    adapter = rng.integers(-2, 3, rows).astype(np.int32)
    return qkv, np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32), adapter


def run(body, *arguments):
    def step(qkv, cos, sin, adapter):
        return body(qkv, cos, sin, adapter)

    return [out.asnumpy() for out in ms.jit(step)(*[ms.Tensor(item) for item in arguments])]


@pytest.mark.parametrize("backend", ["aot", "builtin"])
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(
    ("rows", "heads", "kv_heads", "size"), [(1, 1, 1, 2), (5, 4, 2, 32), (16, 14, 2, 64), (3, 3, 1, 10)]
)
def test_bodies(backend, normed, rows, heads, kv_heads, size):
    arguments = case(rows, heads, kv_heads, size)
    shape = {"num_heads": heads, "num_kv_heads": kv_heads}
    if normed:
        rng = np.random.default_rng(1)
        shape |= {name: rng.uniform(0.5, 2, size).astype(np.float32) for name in ("q_norm", "k_norm")}
        shape["epsilon"] = 1e-5
    expected = rope.reference(*arguments, **shape)
    body = rope.body(backend, head_dim=size, **shape)
    real = arguments[3] >= -1
    for out, wanted in zip(run(body, *arguments), expected, strict=True):
        np.testing.assert_allclose(out[real], wanted[real], atol=3e-6)


def test_the_contract_rotates_in_the_complex_plane():
    qkv, cos, sin, _ = case(4, 2, 1, 8)
    q, k, v = rope.reference(qkv, cos, sin, np.zeros(4, np.int32), 2, 1)
    heads = qkv.reshape(4, 4, 8)
    turned = (heads[..., :4] + 1j * heads[..., 4:]) * (cos + 1j * sin)[:, None]
    turned = np.concatenate((turned.real, turned.imag), -1)
    np.testing.assert_allclose(np.concatenate((q, k), 1), turned[:, :3], atol=1e-6)
    np.testing.assert_array_equal(v, heads[:, 3:])
