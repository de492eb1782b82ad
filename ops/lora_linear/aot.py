"""lora_linear in C++ on CPU, over weights packed in panels."""

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

    def put(self, first: int, weight: np.ndarray) -> None:
        """Store the outputs from `first` (a multiple of 32) on: float32 [n, in]."""
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
            pairs = self._panels.shape[1]
            paired = np.zeros((len(value), 2 * pairs), np.uint16)
            paired[:, :inputs] = value.view(np.uint16)
            target.reshape(count, pairs, PANEL, 2)[...] = paired.reshape(count, PANEL, pairs, 2).transpose(0, 2, 1, 3)
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

    def linear(
        self,
        bias: np.ndarray | None,
        pairs: list[LowRank],
        norm: np.ndarray | None = None,
        epsilon: float = 1e-6,
    ) -> nn.Cell:
        """construct(x [R, in], adapter int32 [R], residual [R, out] or the cell's `none`) -> [R, out]."""
        return AotLoraLinear(self, bias, pairs, norm, epsilon)

    def lookup(self) -> nn.Cell:
        """construct(output numbers int32 [R]) -> those lines of the weight, float32 [R, in]."""
        return AotLookup(self)


class AotLoraLinear(nn.Cell):
    """See reference.py. Few and large operands, since the runtime looks at each of them at every step."""

    def __init__(
        self,
        weight: PackedWeight,
        bias: np.ndarray | None,
        pairs: list[LowRank],
        norm: np.ndarray | None,
        epsilon: float,
    ):
        super().__init__(auto_prefix=False)
        outputs, inputs = weight.shape
        count = weight.panels.shape[0]
        self.numbers = (TYPES[weight.dtype], inputs, outputs, count)
        self.panels, self.scale = weight.panels, weight.scale
        padded = np.zeros(0 if bias is None else count * PANEL, np.float32)
        if bias is not None:
            padded[:outputs] = bias
        gain = np.zeros(0, np.float32) if norm is None else norm
        low_rank, index = pack_pairs(pairs, count, inputs)
        self.vectors = ms.Tensor(np.concatenate([np.array([epsilon], np.float32), gain, padded], dtype=np.float32))
        self.index = ms.Tensor(np.concatenate([np.array([len(gain), len(padded)], np.int32), index], dtype=np.int32))
        self.low_rank = ms.Tensor(low_rank)
        self.none = ms.Tensor(np.zeros(1, np.float32))
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:lora_linear",
            out_shape=lambda x, *rest: [x[0], outputs],
            out_dtype=lambda x, *rest: x,
            func_type="aot",
        )

    @property
    def constants(self) -> tuple[ms.Tensor | None, ...]:
        """Weight, scale or None, vectors, low-rank parts and index: what linear.h calls a layer, with `numbers`."""
        scale = self.scale if self.scale.shape[0] > 1 else None
        return self.panels, scale, self.vectors, self.low_rank, self.index

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


def pack_pairs(pairs: list[LowRank], panels: int, inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs as kernel.cc wants them: float32 [T * in + E * 32] and int32 [2 + T + panels + 1 + E].

    T rank columns: their lines of A, one after the other, and the adapter each belongs to. E entries, by panel: the
    part of a column of B that lies in the panel, and the number of its rank column. The integers are T, E, the owners,
    where the entries of each panel start, the rank columns of the entries.
    """
    ranks = [len(pair.a) for pair in pairs]
    starts = np.cumsum([0, *ranks])
    owner = np.repeat(np.array([pair.adapter for pair in pairs], np.int32), ranks)
    lines = [np.asarray(pair.a, np.float32).ravel() for pair in pairs]
    numbers: list[int] = []
    b_start = np.zeros(panels + 1, np.int32)
    for panel in range(panels):
        low, high = panel * PANEL, (panel + 1) * PANEL
        for pair, start in zip(pairs, starts, strict=False):
            left, right = max(low, pair.first), min(high, pair.first + len(pair.b))
            if left < right:
                block = np.zeros((pair.b.shape[1], PANEL), np.float32)
                block[:, left - low : right - low] = pair.b[left - pair.first : right - pair.first].T
                lines.append(block.ravel())
                numbers += range(start, start + len(block))
        b_start[panel + 1] = len(numbers)
    counts = np.array([len(owner), len(numbers)], np.int32)
    index = np.concatenate([counts, owner, b_start, np.array(numbers, np.int32)], dtype=np.int32)
    return (np.concatenate(lines) if lines else np.zeros(1, np.float32)), index
