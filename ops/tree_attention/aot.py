"""tree_attention in C++ on CPU."""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops import build

SOURCE = Path(__file__).with_name("kernel.cc")


class NoContext(nn.Cell):
    """What this body needs of the step beyond its rows: nothing."""

    def construct(self, rows, slots):
        return rows


class AotTreeAttention(nn.Cell):
    """construct(q, k, v, k_cache, v_cache, rows, context) -> float32 [R, H, D]; see reference.py."""

    def __init__(self, num_heads: int, num_kv_heads: int, head_dim: int, window: int = 0):
        super().__init__(auto_prefix=False)
        self.window = ms.Tensor(np.array([window], np.int32))
        self.attend = ops.Custom(
            f"{build.library(SOURCE)}:tree_attention",
            out_shape=lambda q, k, v, k_cache, v_cache, rows, window: q,
            out_dtype=lambda q, k, v, k_cache, v_cache, rows, window: q,
            func_type="aot",
        )
        self.attend.add_prim_attr("side_effect_mem", True)  # else the graph changes copies of the caches
        self.prepare = NoContext(auto_prefix=False)

    def construct(self, q, k, v, k_cache, v_cache, rows, context):
        return self.attend(q, k, v, k_cache, v_cache, rows, self.window)
