"""rope in MindSpore's own operators."""

import numpy as np
from mindspore import Tensor, nn

from mindcold.ops.rms_norm import RMSNorm
from mindcold.ops.rope.body import RopeOfHeads


class BuiltinRope(RopeOfHeads):
    """See body.py."""

    def norm(self, weight: np.ndarray, epsilon: float) -> nn.Cell:
        return RMSNorm(Tensor(weight), epsilon)

    def angles(self, values, qkv):
        return values.reshape(-1, 1, self.size // 2)

    def rotate(self, x, cos, sin):
        first, second = x[:, :, : self.size // 2], x[:, :, self.size // 2 :]
        return self.concat((first * cos - second * sin, second * cos + first * sin))
