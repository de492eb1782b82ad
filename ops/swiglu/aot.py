"""swiglu in C++ on CPU."""

from pathlib import Path

from mindspore import nn, ops

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")


class AotSwiGLU(nn.Cell):
    """construct(x float32 [R, 2 K], adapter int32 [R]) -> float32 [R, K]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:swiglu",
            out_shape=lambda x, adapter: [x[0], x[1] // 2],
            out_dtype=lambda x, adapter: x,
            func_type="aot",
        )

    def construct(self, x, adapter):
        return self.run(x, adapter)
