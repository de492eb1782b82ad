"""Contract of frozen_matmul in NumPy: many rows by a matrix that is kept in bfloat16 and never trained."""

import ml_dtypes
import numpy as np


def frozen_matmul(
    x: np.ndarray, weight: np.ndarray, low: np.ndarray | None = None, up: np.ndarray | None = None
) -> np.ndarray:
    """x float32 [R, K], weight float32 [N, K] -> x W^T float32 [R, N]; both are rounded to bfloat16, sums are float32.

    With low float32 [R, r] and up float32 [r, N], their product is added in float32. Of a product of many rows the
    order of the sums is free.
    """
    y = _rounded(x) @ _rounded(weight).T
    return y if low is None or up is None else y + low @ up


def _rounded(value: np.ndarray) -> np.ndarray:
    return value.astype(ml_dtypes.bfloat16).astype(np.float32)
