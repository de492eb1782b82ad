"""frozen_matmul in MindSpore's own operators, which multiply in float32."""

import mindspore as ms
import ml_dtypes
import numpy as np
from mindspore import nn, ops


class BuiltinFrozenMatmul(nn.Cell):
    """construct(x float32 [R, K], packed weight) -> float32 [R, outputs]; see reference.py."""

    def __init__(self, outputs: int):
        super().__init__(auto_prefix=False)
        self.product = ops.MatMul(transpose_b=True)

    @staticmethod
    def pack(weight: np.ndarray) -> ms.Tensor:
        """A weight float32 [N, K] as it is kept: rounded, in float32."""
        return ms.Tensor(weight.astype(ml_dtypes.bfloat16).astype(np.float32))

    def construct(self, x, packed):
        return self.product(ops.cast(ops.cast(x, ms.bfloat16), ms.float32), packed)
