"""lora_linear in C++ on CPU, over weights packed in panels."""

from dataclasses import dataclass
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops import build
from mindcold.ops.lora_linear.reference import LowRank, stored
from mindcold.ops.memory import use_large_pages

SOURCE = Path(__file__).with_name("kernel.cc")
PANEL = 32
"""Outputs of a panel; kernel.cc has the same number."""

STORAGE = {"float32": np.float32, "bfloat16": np.uint16, "int8": np.int8}
TYPES = {"float32": 0, "bfloat16": 1, "int8": 2}
"""linear.h's numbers of them."""


class PackedWeight:
    """A base weight [out, in] in panels of 32 outputs: `put` it all, `freeze` it, then make cells.

    Panels are [panels, in, 32]; in bfloat16 two inputs are side by side, [panels, ceil(in / 2), 32 * 2].
    """

    plain = False
    """Whether it can use a Parameter as it is: panels are another layout."""

    def __init__(self, name: str, shape: tuple[int, int], dtype: str):
        self.name, self.shape, self.dtype = name, shape, dtype
        count = -(-shape[0] // PANEL)
        size = (-(-shape[1] // 2), 2 * PANEL) if dtype == "bfloat16" else (shape[1], PANEL)
        self._panels = np.empty((count, *size), STORAGE[dtype])
        self._scale = np.ones(count * PANEL if dtype == "int8" else 1, np.float32)
        self.nbytes = self._panels.nbytes + self._scale.nbytes
        self._pairs: dict[tuple[int, int], PackedPair] = {}

    def put(self, first: int, weight: np.ndarray) -> None:
        """Store the outputs from `first` (a multiple of 32) on: float32 or bfloat16 [n, in]."""
        value, scale = stored(weight, self.dtype)
        if scale is not None:
            self._scale[first : first + len(scale)] = scale
        whole = len(value) // PANEL * PANEL
        self._pack(first // PANEL, value[:whole])
        if whole < len(value):  # the last panel is filled up with zeros
            rest = np.zeros((PANEL, self.shape[1]), value.dtype)
            rest[: len(value) - whole] = value[whole:]
            self._pack((first + whole) // PANEL, rest)

    def _pack(self, panel: int, value: np.ndarray) -> None:
        count, inputs = len(value) // PANEL, self.shape[1]
        target = self._panels[panel : panel + count]
        if self.dtype == "bfloat16":
            halves = np.ascontiguousarray(value).view(np.uint16)
            if inputs % 2:
                halves = np.zeros((len(value), inputs + 1), np.uint16)
                halves[:, :inputs] = value.view(np.uint16)
            pairs = halves.view(np.uint32)  # both halves of a pair move together
            target.view(np.uint32)[...] = pairs.reshape(count, PANEL, pairs.shape[1]).transpose(0, 2, 1)
        else:
            target[...] = value.reshape(count, PANEL, inputs).transpose(0, 2, 1)

    def same(self, other: "PackedWeight") -> bool:
        """Whether two weights of one dtype are equal."""
        return all(
            np.array_equal(mine.asnumpy(), its.asnumpy())
            for mine, its in ((self.panels, other.panels), (self.scale, other.scale))
        )

    def freeze(self) -> None:
        """Make the Parameters the graphs share and let go of the arrays: a Parameter always has memory of its own."""
        self.panels = constant(self._panels, f"{self.name}.panels")
        self.scale = ms.Tensor(self._scale)
        del self._panels, self._scale
        use_large_pages(self.panels)

    def packed(self, pair: LowRank) -> "PackedPair":
        """A pair as kernels read it, made once for each adapter."""
        key = (pair.adapter, pair.first)
        if key not in self._pairs:
            self._pairs[key] = PackedPair.of(pair)
        return self._pairs[key]

    def layer(
        self,
        bias: np.ndarray | None,
        pairs: list[LowRank],
        norm: np.ndarray | None = None,
        epsilon: float = 1e-6,
    ) -> "LinearLayer":
        """All that a kernel knows of a linear layer with this weight."""
        outputs = self.panels.shape[0] * PANEL
        padded = np.zeros(0 if bias is None else outputs, np.float32)
        if bias is not None:
            padded[: self.shape[0]] = bias
        gain = np.zeros(0, np.float32) if norm is None else norm
        vectors = np.concatenate([np.array([epsilon], np.float32), gain, padded], dtype=np.float32)
        return LinearLayer(self, vectors, len(gain), len(padded), [self.packed(pair) for pair in pairs])

    def linear(
        self,
        bias: np.ndarray | None,
        pairs: list[LowRank],
        norm: np.ndarray | None = None,
        epsilon: float = 1e-6,
    ) -> nn.Cell:
        """construct(x [R, in], adapter int32 [R], residual [R, out] or the cell's `none`) -> [R, out]."""
        return AotLoraLinear(self.layer(bias, pairs, norm, epsilon))

    def lookup(self) -> nn.Cell:
        """construct(output numbers int32 [R]) -> those lines of the weight, float32 [R, in]."""
        return AotLookup(self)


@dataclass(frozen=True, slots=True)
class PackedPair:
    """A low-rank pair in panels: the outputs it adds to, filled up with zeros to whole panels."""

    adapter: int
    first_panel: int
    a: np.ndarray
    """float32 [rank, in]."""
    b: np.ndarray
    """float32 [panels, rank, 32]."""

    @classmethod
    def of(cls, pair: LowRank) -> "PackedPair":
        """Pack a pair."""
        outputs, rank = pair.b.shape
        first, end = pair.first // PANEL, -(-(pair.first + outputs) // PANEL)
        columns = np.zeros((rank, (end - first) * PANEL), np.float32)
        columns[:, pair.first - first * PANEL :][:, :outputs] = pair.b.T
        b = columns.reshape(rank, end - first, PANEL).transpose(1, 0, 2)
        return cls(pair.adapter, first, np.ascontiguousarray(pair.a, np.float32), np.ascontiguousarray(b))

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Adapter, rank, first panel and panels."""
        return self.adapter, len(self.a), self.first_panel, len(self.b)


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """What linear.h calls a layer."""

    weight: PackedWeight
    vectors: np.ndarray
    """float32: epsilon, norm, bias."""
    norm_size: int
    bias_size: int
    pairs: list[PackedPair]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Type, inputs, outputs, panels, lengths of norm and bias, pairs."""
        outputs, inputs = self.weight.shape
        panels = self.weight.panels.shape[0]
        return TYPES[self.weight.dtype], inputs, outputs, panels, self.norm_size, self.bias_size, len(self.pairs)


class AotLoraLinear(nn.Cell):
    """See reference.py. Few and large operands, since the runtime looks at each of them at every step."""

    def __init__(self, layer: LinearLayer):
        super().__init__(auto_prefix=False)
        outputs = layer.weight.shape[0]
        self.panels, self.scale = layer.weight.panels, layer.weight.scale
        self.vectors = ms.Tensor(layer.vectors)
        low_rank, index = concatenated(layer)
        self.index, self.low_rank = ms.Tensor(index), ms.Tensor(low_rank)
        self.none = ms.Tensor(np.zeros(1, np.float32))
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:lora_linear",
            out_shape=lambda x, *rest: [x[0], outputs],
            out_dtype=lambda x, *rest: x,
            func_type="aot",
        )

    def construct(self, x, adapter, residual):
        return self.run(x, self.panels, self.scale, self.vectors, self.low_rank, self.index, adapter, residual)


class AotLookup(nn.Cell):
    """Lines of a packed weight: the token embedding, which often shares its weight with the output projection."""

    def __init__(self, weight: PackedWeight):
        super().__init__(auto_prefix=False)
        inputs = weight.shape[1]
        self.panels, self.scale = weight.panels, weight.scale
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:lookup",
            out_shape=lambda number, *rest: [number[0], inputs],
            out_dtype=lambda *rest: ms.float32,
            func_type="aot",
        )

    def construct(self, number):
        return self.run(number, self.panels, self.scale)


def constant(value: np.ndarray, name: str) -> ms.Parameter:
    """A Parameter that is never trained."""
    return ms.Parameter(ms.Tensor.from_numpy(value), name=name, requires_grad=False)


def concatenated(layer: LinearLayer) -> tuple[np.ndarray, np.ndarray]:
    """All pairs as the operands low_rank and index of kernel.cc."""
    parts = [part.ravel() for pair in layer.pairs for part in (pair.a, pair.b)]
    numbers = [number for pair in layer.pairs for number in pair.numbers]
    index = np.array([layer.norm_size, layer.bias_size, len(layer.pairs), *numbers], np.int32)
    return (np.concatenate(parts) if parts else np.zeros(1, np.float32)), index
