"""lora_linear in MindSpore's own operators, over a plain float32 weight."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops.lora_linear.reference import LowRank, restored, stored
from mindcold.ops.rms_norm import RMSNorm


class DenseWeight:
    """A base weight [out, in] as one float32 Parameter, rounded as its dtype would store it."""

    activation = ms.float32
    """Dtype of the Parameter, of what is multiplied by it, and of the result."""
    norm: type[nn.Cell] = RMSNorm
    """The cell that normalises what is multiplied by it."""

    def __init__(self, name: str, shape: tuple[int, int], dtype: str):
        self.name, self.shape, self.dtype = name, shape, dtype
        self.plain = dtype == "float32"
        self._value = np.empty(shape, np.float32)  # takes no memory before it is written
        self.nbytes = self._value.nbytes

    def adopt(self, parameter: ms.Parameter) -> None:
        """Use a float32 Parameter of this shape as it is, in the place of `put` and `freeze`."""
        assert parameter.shape == self.shape and parameter.dtype == ms.float32
        self.parameter = parameter
        del self._value

    def put(self, first: int, weight: np.ndarray) -> None:
        """Store the outputs from `first` on: float32 or bfloat16 [n, in]."""
        self._value[first : first + len(weight)] = restored(*stored(weight, self.dtype))

    def same(self, other: "DenseWeight") -> bool:
        """Whether two weights are equal."""
        return np.array_equal(self.parameter.asnumpy(), other.parameter.asnumpy())

    def freeze(self) -> None:
        """Make the Parameter the graphs share and let go of the array."""
        self.parameter = ms.Parameter(self.constant(self._value), name=self.name, requires_grad=False)
        del self._value

    def constant(self, value: np.ndarray) -> ms.Tensor:
        """A float32 array in the dtype of the weight."""
        return ms.Tensor.from_numpy(np.ascontiguousarray(value, np.float32))

    def linear(
        self,
        bias: np.ndarray | None,
        pairs: list[LowRank],
        norm: np.ndarray | None = None,
        epsilon: float = 1e-6,
    ) -> nn.Cell:
        """construct(x [R, in], adapter int32 [R], residual [R, out] or the cell's `none`) -> [R, out]."""
        return BuiltinLoraLinear(self, bias, pairs, norm, epsilon)

    def lookup(self) -> nn.Cell:
        """construct(output numbers int32 [R]) -> those lines of the weight, float32 [R, in]."""
        return BuiltinLookup(self)


class BuiltinLoraLinear(nn.Cell):
    """x W^T + bias + ((x A^T) * gate) B^T, where the gate keeps the rank columns of a row's own adapter."""

    def __init__(
        self,
        weight: DenseWeight,
        bias: np.ndarray | None,
        pairs: list[LowRank],
        norm: np.ndarray | None,
        epsilon: float,
    ):
        super().__init__(auto_prefix=False)
        self.norm = nn.Identity() if norm is None else weight.norm(weight.constant(norm), epsilon)
        self.weight, self.dtype = weight.parameter, weight.activation
        self.rounds = weight.dtype == "bfloat16" and weight.activation == ms.float32
        self.has_bias, self.has_lora = bias is not None, bool(pairs)
        if bias is not None:
            self.bias = weight.constant(bias)
        if pairs:
            ranks = [len(pair.a) for pair in pairs]
            b = np.zeros((weight.shape[0], sum(ranks)), np.float32)
            for pair, start in zip(pairs, np.cumsum([0, *ranks]), strict=False):
                b[pair.first : pair.first + len(pair.b), start : start + len(pair.a)] = pair.b
            self.a = weight.constant(np.concatenate([pair.a for pair in pairs]))
            self.b = weight.constant(b)
            self.owner = ms.Tensor(
                np.repeat(np.array([pair.adapter for pair in pairs], np.int32), ranks).reshape(1, -1)
            )
        self.none = weight.constant(np.zeros(1, np.float32))
        self.matmul = ops.MatMul(transpose_b=True)

    def construct(self, x, adapter, residual):
        x = self.norm(ops.cast(x, self.dtype))  # a matrix that an adapter replaces may have another dtype
        y = self.matmul(ops.cast(ops.cast(x, ms.bfloat16), ms.float32) if self.rounds else x, self.weight)
        if self.has_lora:
            gate = ops.cast(adapter.reshape(-1, 1) == self.owner, self.dtype)
            y = y + self.matmul(self.matmul(x, self.a) * gate, self.b)
        if self.has_bias:
            y = y + self.bias
        return y + residual


class BuiltinLookup(nn.Cell):
    """Lines of a weight."""

    def __init__(self, weight: DenseWeight):
        super().__init__(auto_prefix=False)
        self.weight, self.gather = weight.parameter, ops.Gather()

    def construct(self, number):
        return self.gather(self.weight, number, 0)
