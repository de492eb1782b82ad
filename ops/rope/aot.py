"""rope in C++ on CPU."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")


class AotRope(nn.Cell):
    """construct(qkv, cos, sin, adapter) -> q, k, v; see reference.py."""

    def __init__(
        self,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        q_norm: ms.Parameter | None = None,
        k_norm: ms.Parameter | None = None,
        epsilon: float = 1e-6,
    ):
        super().__init__(auto_prefix=False)
        none = ms.Tensor(np.zeros(1, np.float32))
        self.q_norm, self.k_norm = none if q_norm is None else q_norm, none if k_norm is None else k_norm
        self.epsilon = ms.Tensor(np.array([epsilon], np.float32))
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:rope",
            out_shape=lambda qkv, *rest: (
                [qkv[0], num_heads, head_dim],
                [qkv[0], num_kv_heads, head_dim],
                [qkv[0], num_kv_heads, head_dim],
            ),
            out_dtype=lambda qkv, *rest: (qkv, qkv, qkv),
            func_type="aot",
        )

    def construct(self, qkv, cos, sin, adapter):
        return self.run(qkv, cos, sin, adapter, self.q_norm, self.k_norm, self.epsilon)
