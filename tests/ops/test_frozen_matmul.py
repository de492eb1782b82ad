"""frozen_matmul: both bodies against the contract, forward and with the transposed weight."""

import mindspore as ms
import numpy as np
import pytest

from mindcold.ops import frozen_matmul


@pytest.mark.parametrize("backend", ["aot", "builtin"])
@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 1, 1), (7, 33, 48), (9, 64, 49), (130, 200, 113), (11, 6500, 50)]
)
def test_bodies(backend, rows, inputs, outputs):
    if reason := frozen_matmul.available()[backend]:
        pytest.skip(reason)
    rng = np.random.default_rng(rows)
    weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
    body = frozen_matmul.body(backend, outputs=outputs)
    packed = body.pack(weight)

    def step(x, packed):
        return body(x, packed)

    run = ms.jit(step)
    for spread in (1.0, 1e-6, 1e6, 1.0):
        x = (rng.standard_normal((rows, inputs)) * spread).astype(np.float32)
        expected = frozen_matmul.reference(x, weight)
        found = run(ms.Tensor(x), packed).asnumpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * spread * inputs**0.5)
        assert np.array_equal(run(ms.Tensor(x), packed).asnumpy(), found)


@pytest.mark.parametrize("backend", ["aot", "builtin"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "inputs", "outputs", "rank"), [(1, 24, 3, 3), (9, 7000, 49, 1), (40, 24, 200, 16)])
def test_a_low_rank_part_is_added_in_float32(backend, transposed, rows, inputs, outputs, rank):
    if reason := frozen_matmul.available()[backend]:
        pytest.skip(reason)
    rng = np.random.default_rng(rank)
    weight, x, low, up = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((outputs, inputs), (rows, inputs), (rows, rank), (rank, outputs))
    )
    body = frozen_matmul.body(backend, outputs=outputs, transposed=transposed)
    packed = body.pack(weight)

    def step(x, packed, low, up):
        return body(x, packed, low, up)

    given = np.ascontiguousarray(up.T) if transposed else up
    found = ms.jit(step)(ms.Tensor(x), packed, ms.Tensor(low), ms.Tensor(given)).asnumpy()
    np.testing.assert_allclose(found, frozen_matmul.reference(x, weight, low, up), rtol=1e-4, atol=1e-3)


def test_a_row_alone_has_the_bits_it_has_among_others():
    if reason := frozen_matmul.available()["aot"]:
        pytest.skip(reason)
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((21, 40)).astype(np.float32), rng.standard_normal((60, 40)).astype(np.float32)
    body = frozen_matmul.body("aot", outputs=60)
    packed = body.pack(weight)

    def step(x, packed):
        return body(x, packed)

    together = ms.jit(step)(ms.Tensor(x), packed).asnumpy()
    assert np.array_equal(ms.jit(step)(ms.Tensor(x[13:14]), packed).asnumpy()[0], together[13])
