"""tree_verify in the AKG hybrid language, in dense form: no store depends on data.

See `mindcold.ops.contrastive_score.akg` for the part of the language that is right on CPU. The intrinsics are those
allowed on Ascend.
"""

from mindspore import nn, ops
from mindspore.ops import kernel

from mindcold.ops.hybrid import PINNED

# The names below belong to the hybrid language and are bound when a kernel is parsed or run.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"


@kernel(compile_attrs=PINNED)
def first_child(chosen, tokens, parents):
    """The first child with the chosen token, P for none: int32 [P], [P], [P] -> [P, 1]."""
    child = output_tensor((chosen.shape[0], 1), chosen.dtype)
    for i in range(chosen.shape[0]):
        child[i, 0] = chosen.shape[0]
        for j in range(chosen.shape[0]):
            child[i, 0] = min(
                child[i, 0],
                j if parents[j] == i and tokens[j] == chosen[i] else chosen.shape[0],
            )
    return child


KERNELS = (first_child,)


class AkgTreeVerify(nn.Cell):
    """construct(chosen, tokens, parents int32 [P]) -> int32 [P]; see reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.first_child = ops.Custom(first_child, func_type="hybrid")

    def construct(self, chosen, tokens, parents):
        child = self.first_child(chosen, tokens, parents).reshape(-1)
        return ops.select(child == chosen.shape[0], ops.zeros_like(chosen) - 1, child)
