"""tree_verify on Ascend by its Triton kernel. Written, never run on an NPU."""

import mindspore as ms
from mindspore import nn, ops

from mindcold.ops import launcher


class TritonTreeVerify(nn.Cell):
    """construct(chosen, tokens, parents int32 [P]) -> int32 [P]; see reference.py. Called between two graphs."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)

    def construct(self, chosen, tokens, parents):
        heads, block = chosen.shape[0], launcher.constants("tree_verify").BLOCK
        accepted = ops.zeros((heads,), ms.int32)
        launcher.kernel("tree_verify", "tree_verify")[(heads,)](chosen, tokens, parents, accepted, heads, BLOCK=block)
        return accepted
