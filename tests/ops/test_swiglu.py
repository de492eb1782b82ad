"""swiglu: both bodies against the contract."""

import mindspore as ms
import numpy as np
import pytest

from mindcold.ops import swiglu


@pytest.mark.parametrize("backend", ["aot", "builtin"])
@pytest.mark.parametrize(("rows", "size"), [(1, 1), (3, 13), (16, 4864), (64, 300)])
def test_bodies(backend, rows, size):
    rng = np.random.default_rng(size)
    x = (rng.standard_normal((rows, 2 * size)) * 4).astype(np.float32)
    x[0, 0], x[-1, size - 1] = 200, -200  # far out on both sides of the sigmoid
    adapter = rng.integers(-2, 3, rows).astype(np.int32)
    adapter[0] = -1
    body = swiglu.body(backend)

    def step(x, adapter):
        return body(x, adapter)

    real = adapter >= -1
    out = ms.jit(step)(ms.Tensor(x), ms.Tensor(adapter)).asnumpy()
    np.testing.assert_allclose(out[real], swiglu.reference(x, adapter)[real], rtol=1e-5, atol=1e-6)
