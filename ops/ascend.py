"""What the bodies made of MindSpore's operators for Ascend share: dtypes and the norm.

The operators, their shapes, dtypes and limits are those of the documentation in MindSpore 2.9. Written, never run on an
NPU: tests run the bodies on CPU over stand-ins that do what the documentation says, and refuse what it refuses.
"""

from collections.abc import Callable

import mindspore as ms
from mindspore import nn, ops

ACTIVATIONS = {"float32": ms.float32, "bfloat16": ms.bfloat16, "int8": ms.float16}
"""How weights are kept to the dtype that the graph computes in; weights in int8 are multiplied as float16."""

CACHES = {"float32": ms.float16, "bfloat16": ms.bfloat16, "int8": ms.float16}
"""How weights are kept to the dtype of keys and values: attention takes float16 and bfloat16 alone."""


def needs(*names: str) -> Callable[[], str | None]:
    """The question whether MindSpore still has these operators, two of which it means to change or remove some day."""

    def missing() -> str | None:
        gone = [name for name in names if not hasattr(ops, name)]
        return f"MindSpore {ms.__version__} has no ops.{', ops.'.join(gone)}" if gone else None

    return missing


class AscendRMSNorm(nn.Cell):
    """construct(x [..., K] in the dtype of the weight [K]) -> the same shape: `mindspore.ops.rms_norm`."""

    def __init__(self, weight: ms.Tensor, epsilon: float):
        super().__init__(auto_prefix=False)
        self.weight, self.epsilon = weight, epsilon

    def construct(self, x):
        return ops.rms_norm(x, self.weight, self.epsilon)[0]
