"""rope in MindSpore's own operators."""

import numpy as np
from mindspore import Tensor, nn, ops

from mindcold.ops.rms_norm import RMSNorm


class BuiltinRope(nn.Cell):
    """construct(qkv, cos, sin, adapter) -> q, k, v; see reference.py."""

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
        self.q_norm = nn.Identity() if q_norm is None else RMSNorm(Tensor(q_norm), epsilon)
        self.k_norm = nn.Identity() if k_norm is None else RMSNorm(Tensor(k_norm), epsilon)
        self.concat = ops.Concat(axis=-1)

    def rotate(self, x, cos, sin):
        """The two halves of each head against each other."""
        first, second = x[:, :, : self.size // 2], x[:, :, self.size // 2 :]
        return self.concat((first * cos - second * sin, second * cos + first * sin))

    def construct(self, qkv, cos, sin, adapter):
        heads = qkv.reshape(-1, self.heads + 2 * self.kv_heads, self.size)
        end = self.heads + self.kv_heads
        q, k, v = heads[:, : self.heads], heads[:, self.heads : end], heads[:, end:]
        q, k = self.q_norm(q), self.k_norm(k)
        cos, sin = cos.reshape(-1, 1, self.size // 2), sin.reshape(-1, 1, self.size // 2)
        return self.rotate(q, cos, sin), self.rotate(k, cos, sin), v
