"""swiglu in MindSpore's own operators."""

from mindspore import nn, ops


class BuiltinSwiGLU(nn.Cell):
    """construct(x float32 [R, 2 K], adapter int32 [R]) -> float32 [R, K]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

    def construct(self, x, adapter):
        half = x.shape[1] // 2
        return ops.silu(x[:, :half]) * x[:, half:]
