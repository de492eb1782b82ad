"""tree_verify in C++ on CPU."""

from pathlib import Path

import mindspore as ms
from mindspore import nn, ops

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")


class AotTreeVerify(nn.Cell):
    """construct(chosen, tokens, parents int32 [P]) -> int32 [P]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.verify = ops.Custom(
            f"{build.library(SOURCE)}:tree_verify",
            out_shape=lambda chosen, tokens, parents: chosen,
            out_dtype=lambda chosen, tokens, parents: ms.int32,
            func_type="aot",
        )

    def construct(self, chosen, tokens, parents):
        return self.verify(chosen, tokens, parents)
