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
        q_norm: np.ndarray | None = None,
        k_norm: np.ndarray | None = None,
        epsilon: float = 1e-6,
    ):
        super().__init__(auto_prefix=False)
        self.norms = ms.Tensor(norms_of(q_norm, k_norm, epsilon))
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
        return self.run(qkv, cos, sin, adapter, self.norms)


def norms_of(q_norm: np.ndarray | None, k_norm: np.ndarray | None, epsilon: float) -> np.ndarray:
    """The operand `norms` of the kernel: epsilon, and the norms of queries and keys if there are any."""
    norms = [np.array([epsilon], np.float32)]
    if q_norm is not None and k_norm is not None:
        norms += [q_norm, k_norm]
    return np.concatenate(norms, dtype=np.float32)
