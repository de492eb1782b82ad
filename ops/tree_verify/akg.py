"""tree_verify in the AKG hybrid language, in dense form: no store depends on data, paths grow by doubling.

See `mindcold.ops.contrastive_score.akg` for the part of the language that is right on CPU. The intrinsics are those
allowed on Ascend.
"""

from mindspore import nn, ops
from mindspore.ops import kernel

from mindcold.ops.hybrid import PINNED

# The names below belong to the hybrid language and are bound when a kernel is parsed or run.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"

DOUBLINGS = 5
"""Paths of up to 2^5 draft tokens are followed to their end."""


@kernel(compile_attrs=PINNED)
def first_child(chosen, tokens, parents):
    """The first child with the chosen token, P for none: int32 [P], [P], [P] -> [P, 1]."""
    follow = output_tensor((chosen.shape[0], 1), chosen.dtype)
    for i in range(chosen.shape[0]):
        follow[i, 0] = chosen.shape[0]
        for j in range(chosen.shape[0]):
            follow[i, 0] = min(
                follow[i, 0],
                j if parents[j] == i and tokens[j] == chosen[i] else chosen.shape[0],
            )
    return follow


@kernel(compile_attrs=PINNED)
def step_last(follow):
    """Where one step leads, the head itself where there is none: int32 [P, 1] -> [P]."""
    last = output_tensor((follow.shape[0],), follow.dtype)
    for i in range(follow.shape[0]):
        last[i] = follow[i, 0] if follow[i, 0] < follow.shape[0] else i
    return last


@kernel(compile_attrs=PINNED)
def twice(last):
    """Where the same way leads once more: int32 [P] -> [P]."""
    further = output_tensor(last.shape, last.dtype)
    for i in range(last.shape[0]):
        further[i] = last[last[i]]
    return further


@kernel(compile_attrs=PINNED)
def both(length, last):
    """Length of a way and of the one behind it: int32 [P], [P] -> [P]."""
    total = output_tensor(length.shape, length.dtype)
    for i in range(length.shape[0]):
        total[i] = length[i] + length[last[i]]
    return total


KERNELS = (first_child, step_last, twice, both)


class AkgTreeVerify(nn.Cell):
    """construct(chosen, tokens, parents int32 [P]) -> int32 [4, P]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.first_child = ops.Custom(first_child, func_type="hybrid")
        self.step_last = ops.Custom(step_last, func_type="hybrid")
        self.twice = ops.Custom(twice, func_type="hybrid")
        self.both = ops.Custom(both, func_type="hybrid")
        self.stack = ops.Stack()

    def construct(self, chosen, tokens, parents):
        found = self.first_child(chosen, tokens, parents)
        none = found.reshape(-1) == chosen.shape[0]
        last = self.step_last(found)
        length = 1 - none.astype("int32")
        for _ in range(DOUBLINGS):
            length = self.both(length, last)
            last = self.twice(last)
        follow = ops.select(none, ops.zeros_like(chosen) - 1, found.reshape(-1))
        return self.stack((chosen, follow, last, length))
