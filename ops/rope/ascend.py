"""rope on Ascend."""

import numpy as np
from mindspore import Tensor, nn, ops

from mindcold.errors import OperatorError

LARGEST = 894
"""Even head sizes below 896 are taken."""


class HeadNorm(nn.Cell):
    """The norm of a head, its weight in the dtype of the heads: construct(x [R, H, D]) -> the same shape."""

    def __init__(self, weight: np.ndarray, epsilon: float):
        super().__init__(auto_prefix=False)
        self.weight, self.epsilon = Tensor(weight.astype(np.float32)), epsilon

    def construct(self, x):
        return ops.rms_norm(x, ops.cast(self.weight, x.dtype), self.epsilon)[0]


class AscendRope(nn.Cell):
    """construct(qkv [R, (H + 2 KV) D], cos, sin, adapter) -> q, k, v: `mindspore.ops.rotary_position_embedding`.

    Rows are the sequence axis of its layout BSND: x [1, R, H, D], cos and sin [1, R, 1, D].
    """

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
        if head_dim % 2 or head_dim > LARGEST:
            raise OperatorError(f"rope: body 'ascend' takes even head sizes up to {LARGEST}, not {head_dim}")
        self.heads, self.kv_heads, self.size = num_heads, num_kv_heads, head_dim
        self.q_norm = nn.Identity() if q_norm is None else HeadNorm(q_norm, epsilon)
        self.k_norm = nn.Identity() if k_norm is None else HeadNorm(k_norm, epsilon)
        self.concat = ops.Concat(axis=-1)

    def rotate(self, x, cos, sin):
        """The two halves of each head against each other: mode 0."""
        return ops.rotary_position_embedding(x.reshape(1, -1, x.shape[1], self.size), cos, sin, 0).reshape(x.shape)

    def construct(self, qkv, cos, sin, adapter):
        heads = qkv.reshape(-1, self.heads + 2 * self.kv_heads, self.size)
        end = self.heads + self.kv_heads
        q, k, v = heads[:, : self.heads], heads[:, self.heads : end], heads[:, end:]
        cos, sin = cos.reshape(1, -1, 1, self.size // 2), sin.reshape(1, -1, 1, self.size // 2)
        cos = ops.cast(self.concat((cos, cos)), qkv.dtype)
        sin = ops.cast(self.concat((sin, sin)), qkv.dtype)
        return self.rotate(self.q_norm(q), cos, sin), self.rotate(self.k_norm(k), cos, sin), v
