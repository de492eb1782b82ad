"""The low-rank part of lora_linear on Ascend by its Triton kernels: the batched gather of multi-LoRA serving.

Written, never run on an NPU. The engine's graph multiplies by all adapters side by side (ascend.py), since MindSpore
has no way to put such a kernel into a graph; `tools/check_ascend.py` measures both. With many adapters these win: they
read what a row's own adapter has and skip the rows that have none.
"""

import mindspore as ms
from mindspore import ops

from mindcold.ops import launcher


def add_low_rank(x: ms.Tensor, a: ms.Tensor, b: ms.Tensor, adapter: ms.Tensor, y: ms.Tensor, first: int = 0) -> None:
    """y[:, first : first + out] += (x a^T) b of each row's adapter, in place; rows with an adapter below 0 are left.

    x [R, in], a [adapters, rank, in], b [adapters, rank, out] with the scaling in it, y [R, outputs], all of one dtype
    (float16, bfloat16, float32); adapter int32 [R]. The rank is a multiple of the kernel's RANKS: fill up with zeros.
    """
    tiles = launcher.constants("lora_linear")
    (rows, inputs), (_, rank, outputs) = x.shape, b.shape
    middle = ops.zeros((rows, rank), ms.float32)
    launcher.kernel("lora_linear", "lora_shrink")[(rows, rank // tiles.RANKS)](
        x, a, adapter, middle, inputs, rank, RANKS=tiles.RANKS, WIDTH=tiles.WIDTH
    )
    launcher.kernel("lora_linear", "lora_expand")[(rows, -(-outputs // tiles.BLOCK))](
        middle, b, adapter, y, first, outputs, y.shape[1], rank, BLOCK=tiles.BLOCK
    )
