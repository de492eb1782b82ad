"""frozen_matmul in MindSpore's own operators, which multiply in float32."""

import mindspore as ms
import ml_dtypes
import numpy as np
from mindspore import nn, ops


class BuiltinFrozenMatmul(nn.Cell):
    """construct(x float32 [R, K], packed weight[, low, up]) -> float32 [R, outputs]; see reference.py.

    `transposed`: up is [outputs, r].
    """

    def __init__(self, outputs: int, transposed: bool = False):
        super().__init__(auto_prefix=False)
        self.product, self.add = ops.MatMul(transpose_b=True), ops.MatMul(transpose_b=transposed)

    @staticmethod
    def pack(weight: np.ndarray) -> ms.Tensor:
        """A weight float32 [N, K] as it is kept: rounded, in float32."""
        return ms.Tensor(weight.astype(ml_dtypes.bfloat16).astype(np.float32))

    def construct(self, x, packed, *low_rank):
        y = self.product(ops.cast(ops.cast(x, ms.bfloat16), ms.float32), packed)
        return y if len(low_rank) == 0 else y + self.add(low_rank[0], low_rank[1])
