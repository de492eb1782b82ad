"""rope on Ascend."""

import numpy as np
from mindspore import Tensor, nn, ops

from mindcold.errors import OperatorError
from mindcold.ops.rope.body import RopeOfHeads

LARGEST = 894
"""Even head sizes below 896 are taken."""


class HeadNorm(nn.Cell):
    """The norm of a head, its weight in the dtype of the heads: construct(x [R, H, D]) -> the same shape."""

    def __init__(self, weight: np.ndarray, epsilon: float):
        super().__init__(auto_prefix=False)
        self.weight, self.epsilon = Tensor(weight.astype(np.float32)), epsilon

    def construct(self, x):
        return ops.rms_norm(x, ops.cast(self.weight, x.dtype), self.epsilon)[0]


class AscendRope(RopeOfHeads):
    """By `mindspore.ops.rotary_position_embedding`; see body.py.

    Rows are the sequence axis of its layout BSND: x [1, R, H, D], cos and sin [1, R, 1, D]. OperatorError for head
    sizes it does not take.
    """

    def __init__(self, num_heads: int, num_kv_heads: int, head_dim: int, **norms):
        if head_dim % 2 or head_dim > LARGEST:
            raise OperatorError(f"rope: body 'ascend' takes even head sizes up to {LARGEST}, not {head_dim}")
        super().__init__(num_heads, num_kv_heads, head_dim, **norms)

    def norm(self, weight: np.ndarray, epsilon: float) -> nn.Cell:
        return HeadNorm(weight, epsilon)

    def angles(self, values, qkv):
        halves = values.reshape(1, -1, 1, self.size // 2)
        return ops.cast(self.concat((halves, halves)), qkv.dtype)

    def rotate(self, x, cos, sin):
        turned = ops.rotary_position_embedding(x.reshape(1, -1, x.shape[1], self.size), cos, sin, 0)  # by halves
        return turned.reshape(x.shape)
