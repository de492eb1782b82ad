"""The contract of rms_norm, in NumPy."""

import numpy as np


def rms_norm(x: np.ndarray, weight: np.ndarray, adapter: np.ndarray, epsilon: float) -> np.ndarray:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last axis: float32 [R, K], [K] -> [R, K].

    Rows whose adapter id is below -1 are padding, and what they give is unspecified (zeros here). Zhang & Sennrich,
    arXiv 1910.07467.
    """
    y = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(epsilon)) * weight
    y[adapter < -1] = 0
    return y
