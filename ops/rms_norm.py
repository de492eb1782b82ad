"""Root-mean-square normalisation, which the operators apply to their inputs; Zhang & Sennrich, arXiv 1910.07467."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


def rms_norm(x: np.ndarray, weight: np.ndarray, epsilon: float) -> np.ndarray:
    """x / sqrt(mean(x^2) + epsilon) * weight over the last axis, in NumPy: float32 [..., K], [K] -> [..., K]."""
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(epsilon)) * weight


class RMSNorm(nn.Cell):
    """The same in MindSpore's own operators, with a gradient: construct(x float32 [..., K]) -> the same shape."""

    def __init__(self, weight: ms.Parameter | ms.Tensor, epsilon: float):
        super().__init__(auto_prefix=False)
        self.weight, self.epsilon = weight, epsilon
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x):
        return x * ops.rsqrt(self.mean(x * x, -1) + self.epsilon) * self.weight
