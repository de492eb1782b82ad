"""frozen_matmul in C++ on CPUs that multiply pairs of bfloat16 (AVX-512 BF16)."""

from pathlib import Path

import mindspore as ms
import ml_dtypes
import numpy as np
from mindspore import nn, ops

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")
PANEL = 48
"""Outputs of a panel; kernel.cc has the same number."""


def unavailable_reason() -> str | None:
    """None where the kernel can run, else the reason why not."""
    if "avx512_bf16" not in build.cpu_flags().split():
        return "the CPU has no AVX-512 BF16"
    return build.unavailable_reason()


class AotFrozenMatmul(nn.Cell):
    """construct(x float32 [R, K], packed weight[, low, up]) -> float32 [R, outputs]; see reference.py.

    `transposed`: up is [outputs, r].
    """

    def __init__(self, outputs: int, transposed: bool = False):
        super().__init__(auto_prefix=False)
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:frozen_matmul{'_transposed' if transposed else ''}",
            out_shape=lambda x, *rest: [x[0], outputs],
            out_dtype=lambda x, *rest: x,
            func_type="aot",
        )

    @staticmethod
    def pack(weight: np.ndarray) -> ms.Tensor:
        """A weight float32 [N, K] in panels of 48 outputs, two inputs side by side: uint16 [panels, K / 2, 48, 2]."""
        outputs, inputs = weight.shape
        panels, pairs = -(-outputs // PANEL), -(-inputs // 2)
        padded = np.zeros((panels * PANEL, pairs * 2), np.uint16)
        padded[:outputs, :inputs] = weight.astype(ml_dtypes.bfloat16).view(np.uint16)
        packed = padded.reshape(panels, PANEL, pairs, 2).transpose(0, 2, 1, 3)
        return ms.Tensor.from_numpy(np.ascontiguousarray(packed))

    def construct(self, x, packed, *low_rank):
        return self.run(x, packed, *low_rank)
