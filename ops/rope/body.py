"""What the bodies of rope out of MindSpore's operators share."""

import numpy as np
from mindspore import nn, ops


class RopeOfHeads(nn.Cell):
    """construct(qkv [R, (H + 2 KV) D], cos, sin, adapter) -> q, k, v, as in reference.py: normed, rotated heads."""

    def __init__(
        self,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        q_norm: np.ndarray | None = None,
        k_norm: np.ndarray | None = None,
        epsilon: float = 1e-6,
    ):
        super().__init__(auto_prefix=False)
        self.heads, self.kv_heads, self.size = num_heads, num_kv_heads, head_dim
        self.q_norm = nn.Identity() if q_norm is None else self.norm(q_norm, epsilon)
        self.k_norm = nn.Identity() if k_norm is None else self.norm(k_norm, epsilon)
        self.concat = ops.Concat(axis=-1)

    def norm(self, weight: np.ndarray, epsilon: float) -> nn.Cell:
        """The norm of a head, [R, H, D] -> the same shape."""
        raise NotImplementedError

    def angles(self, values, qkv):
        """cos or sin [R, 1, D / 2] as `rotate` takes them."""
        raise NotImplementedError

    def rotate(self, x, cos, sin):
        """The two halves of each head of x [R, H, D] against each other."""
        raise NotImplementedError

    def construct(self, qkv, cos, sin, adapter):
        heads = qkv.reshape(-1, self.heads + 2 * self.kv_heads, self.size)
        end = self.heads + self.kv_heads
        q, k, v = heads[:, : self.heads], heads[:, self.heads : end], heads[:, end:]
        cos, sin = self.angles(cos, qkv), self.angles(sin, qkv)
        return self.rotate(self.q_norm(q), cos, sin), self.rotate(self.k_norm(k), cos, sin), v
