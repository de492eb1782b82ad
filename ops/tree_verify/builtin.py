"""tree_verify in MindSpore's own operators."""

from mindspore import nn, ops


class BuiltinTreeVerify(nn.Cell):
    """construct(chosen, tokens, parents int32 [P]) -> int32 [P]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.min = ops.ReduceMin()

    def construct(self, chosen, tokens, parents):
        count = chosen.shape[0]
        heads = ops.arange(0, count).astype("int32")
        child = ops.logical_and(parents[None] == heads[:, None], tokens[None] == chosen[:, None])
        first = self.min(ops.select(child, ops.zeros_like(chosen)[:, None] + heads[None], count), 1)
        return ops.select(first == count, ops.zeros_like(chosen) - 1, first)
