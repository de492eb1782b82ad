"""swiglu on Ascend."""

from mindspore import nn, ops


class AscendSwiGLU(nn.Cell):
    """construct(x [R, 2 K], adapter int32 [R]) -> [R, K] in the dtype of x: `mindspore.ops.swiglu`."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

    def construct(self, x, adapter):
        return ops.swiglu(x, -1)
