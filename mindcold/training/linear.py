"""Linear layers of the training graphs, forward and backward, with or without a low-rank update."""

from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops import frozen_matmul


@dataclass(frozen=True, slots=True)
class LinearPlan:
    """What a linear layer has, which the graph depends on."""

    biased: bool
    trained: bool
    """Whether weight and bias are trained themselves."""
    rank: int = 0
    """Of its low-rank update, 0 for none."""
    scaling: float = 1.0
    dropout: float = 0.0
    """Of the input of the update."""
    packed: bool = False
    """Whether the weight is kept in bfloat16, packed for both passes."""

    @property
    def operands(self) -> int:
        """Tensors that the layer takes, in this order and those that it has.

        Weight, packed transposed weight, bias, A, B and the noise of the dropout.
        """
        return 1 + self.packed + self.biased + 2 * (self.rank > 0) + self.noisy

    @property
    def noisy(self) -> bool:
        """Whether it takes noise, int32 [rows, 1]."""
        return self.rank > 0 and self.dropout > 0


class Linear(nn.Cell):
    """x W^T (+ bias) (+ scaling * dropout(x) A^T B^T): x [T, in], all operands of the graph -> [T, out].

    `first` is the place of its own operands. A hash of the row's noise and of a number of the column decides what is
    left out, so that the backward pass finds the same places and a resumed run the same numbers.
    """

    def __init__(self, plan: LinearPlan, first: int, shape: tuple[int, int]):
        super().__init__(auto_prefix=False)
        self.biased, self.trained, self.adapted = plan.biased, plan.trained, plan.rank > 0
        self.noisy, self.scaling = plan.noisy, plan.scaling
        outputs, inputs = shape
        self.weight, self.transposed, self.bias = first, first + plan.packed, first + 1 + plan.packed
        self.a = self.bias + plan.biased
        self.b, self.noise = self.a + 1, self.a + 2
        self.columns = ms.Tensor(np.random.default_rng(inputs).integers(-(2**31), 2**31, (1, inputs)).astype(np.int32))
        self.odd = ms.Tensor(np.array(-1640531527, np.int32))  # 2^32 over the golden ratio
        self.threshold = ms.Tensor(np.array(round(plan.dropout * 2**32) - 2**31, np.int64).astype(np.int32))
        self.kept = 1.0 / (1.0 - plan.dropout)
        self.rows_by_rows, self.plain = ops.MatMul(transpose_b=True), ops.MatMul()
        self.columns_by_columns = ops.MatMul(transpose_a=True)
        self.forth, self.back = self.rows_by_rows, self.plain
        if plan.packed:
            self.forth = frozen_matmul.body(outputs=outputs, transposed=True)
            self.back = frozen_matmul.body(outputs=inputs)
        # the low-rank part is added by the same operator; backward unless dropout lies between
        self.fused, self.fused_back = plan.packed and self.adapted, plan.packed and self.adapted and not plan.noisy

    def mask(self, operands):
        """What the input of the update is multiplied with: 0 or 1 / (1 - dropout)."""
        hashed = ops.bitwise_xor(operands[self.noise], self.columns) * self.odd
        return ops.cast(hashed >= self.threshold, ms.float32) * self.kept

    def construct(self, x, operands):
        low = x
        if self.adapted:
            if self.noisy:
                low = x * self.mask(operands)
            low = self.rows_by_rows(low, operands[self.a]) * self.scaling
        if self.fused:
            y = self.forth(x, operands[self.weight], low, operands[self.b])
        else:
            y = self.forth(x, operands[self.weight])
            if self.adapted:
                y = y + self.rows_by_rows(low, operands[self.b])
        if self.biased:
            y = y + operands[self.bias]
        return y

    def backward(self, x, dy, operands):
        """Gradient of x, then those of what is trained: weight and bias, A and B."""
        gradients: tuple = ()
        if self.trained:
            gradients = (self.columns_by_columns(dy, x),)
            if self.biased:
                gradients = (*gradients, dy.sum(0))
        if not self.adapted:
            return self.back(dy, operands[self.transposed]), gradients
        dz = self.plain(dy, operands[self.b]) * self.scaling
        if self.fused_back:
            dx = self.back(dy, operands[self.transposed], dz, operands[self.a])
        else:
            narrow = self.plain(dz, operands[self.a])
            if self.noisy:
                mask = self.mask(operands)
                x, narrow = x * mask, narrow * mask
            dx = self.back(dy, operands[self.transposed]) + narrow
        z = self.rows_by_rows(x, operands[self.a]) * self.scaling
        return dx, (*gradients, self.columns_by_columns(dz, x), self.columns_by_columns(dy, z))
