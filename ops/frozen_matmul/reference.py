"""Contract of frozen_matmul in NumPy: many rows by a matrix that is kept in bfloat16 and never trained."""

import ml_dtypes
import numpy as np


def frozen_matmul(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x float32 [R, K], weight float32 [N, K] -> x W^T float32 [R, N]; both are rounded to bfloat16, sums are float32.

    Of a product of many rows the order of the sums is free.
    """
    return _rounded(x) @ _rounded(weight).T


def _rounded(value: np.ndarray) -> np.ndarray:
    return value.astype(ml_dtypes.bfloat16).astype(np.float32)
