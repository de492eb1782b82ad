"""tree_verify in MindSpore's own operators."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

LONGEST = 5
"""Paths of up to 2^5 draft tokens are followed to their end."""


class BuiltinTreeVerify(nn.Cell):
    """construct(chosen, tokens, parents int32 [P]) -> int32 [4, P]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.most = ms.Tensor(np.arange(256, dtype=np.int32))
        self.least = ops.ReduceMin()
        self.stack = ops.Stack()
        self.gather = ops.Gather()

    def construct(self, chosen, tokens, parents):
        count = chosen.shape[0]
        heads = self.most[:count]
        child = ops.logical_and(parents[None] == heads[:, None], tokens[None] == chosen[:, None])
        found = self.least(ops.select(child, ops.zeros_like(chosen)[:, None] + heads[None], count), 1)
        none = found == count
        last = ops.select(none, heads, found)
        length = 1 - none.astype("int32")
        for _ in range(LONGEST):
            length = length + self.gather(length, last, 0)
            last = self.gather(last, last, 0)
        return self.stack((chosen, ops.select(none, ops.zeros_like(chosen) - 1, found), last, length))
