"""lora_linear on Ascend: the cube unit's matrix products over a weight in the dtype of the activations."""

import mindspore as ms
import numpy as np

from mindcold.ops.ascend import ACTIVATIONS, AscendRMSNorm
from mindcold.ops.lora_linear.builtin import DenseWeight


class AscendWeight(DenseWeight):
    """A base weight [out, in] as one Parameter: float32, bfloat16, or float16 for one that is kept in int8.

    Adapters lie side by side, and each row keeps the rank columns of its own: all of them are read once for all rows,
    where a gather would read the matrices of a row's adapter once for every row.
    """

    norm = AscendRMSNorm

    def __init__(self, name: str, shape: tuple[int, int], dtype: str):
        super().__init__(name, shape, dtype)
        self.activation = ACTIVATIONS[dtype]
        self.nbytes = shape[0] * shape[1] * (4 if dtype == "float32" else 2)

    def constant(self, value: np.ndarray) -> ms.Tensor:
        return ms.Tensor(np.ascontiguousarray(value, np.float32), self.activation)
