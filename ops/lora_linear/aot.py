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


class PackedWeight:
    """A base weight [out, in] in panels of 32 outputs, [panels, in, 32]: `put` it all, `freeze` it, then make its cells."""

    def __init__(self, name: str, shape: tuple[int, int], dtype: str):
        self.name, self.shape, self.dtype = name, shape, dtype
        count = -(-shape[0] // PANEL)
        self._panels = np.empty((count, shape[1], PANEL), STORAGE[dtype])
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
        if self.dtype == "bfloat16":  # 0, 16, 1, 17, ...: two vectors by a shift and a mask
            halves = value.view(np.uint16).reshape(count, 2, PANEL // 2, inputs)
            target.reshape(count, inputs, PANEL // 2, 2)[...] = halves.transpose(0, 3, 2, 1)
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
        self.scale = constant(self._scale, f"{self.name}.scale")
        del self._panels, self._scale
        use_large_pages(self.panels)

    def linear(self, bias: np.ndarray | None, pairs: list[LowRank]) -> nn.Cell:
        """construct(x [R, in], adapter int32 [R], residual [R, out] or the cell's `none`) -> [R, out]; see reference.py."""
        return AotLoraLinear(self, bias, pairs)

    def lookup(self) -> nn.Cell:
        """construct(output numbers int32 [R]) -> those lines of the weight, float32 [R, in]."""
        return AotLookup(self)


class AotLoraLinear(nn.Cell):
    """See reference.py; a low-rank part is read only for the rows that have one."""

    def __init__(self, weight: PackedWeight, bias: np.ndarray | None, pairs: list[LowRank]):
        super().__init__(auto_prefix=False)
        outputs, inputs = weight.shape
        count = weight.panels.shape[0]
        self.panels, self.scale = weight.panels, weight.scale
        padded = np.zeros(1 if bias is None else count * PANEL, np.float32)
        if bias is not None:
            padded[:outputs] = bias
        self.bias = constant(padded, f"{weight.name}.bias")
        a, owner, b, b_start, b_rank = pack_pairs(pairs, count, inputs)
        self.a, self.b = constant(a, f"{weight.name}.lora_A"), constant(b, f"{weight.name}.lora_B")
        self.owner, self.b_start, self.b_rank = ms.Tensor(owner), ms.Tensor(b_start), ms.Tensor(b_rank)
        self.none = ms.Tensor(np.zeros(1, np.float32))
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:lora_linear",
            out_shape=lambda x, *rest: [x[0], outputs],
            out_dtype=lambda x, *rest: x,
            func_type="aot",
        )

    def construct(self, x, adapter, residual):
        return self.run(
            x,
            self.panels,
            self.scale,
            self.bias,
            self.a,
            self.owner,
            self.b,
            self.b_start,
            self.b_rank,
            adapter,
            residual,
        )


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


def pack_pairs(pairs: list[LowRank], panels: int, inputs: int) -> tuple[np.ndarray, ...]:
    """All pairs as kernel.cc wants them.

    a float32 [T, in] and owner int32 [T] (the adapter of each rank column); per panel the entries b_start[p] ..
    b_start[p + 1] - 1, each a line of b float32 [E, 32] with its rank column in b_rank int32 [E].
    """
    if not pairs:
        a, owner = np.zeros((1, 1), np.float32), np.array([-3], np.int32)
        return a, owner, np.zeros((1, PANEL), np.float32), np.zeros(panels + 1, np.int32), np.zeros(1, np.int32)
    ranks = [len(pair.a) for pair in pairs]
    starts = np.cumsum([0, *ranks])
    a = np.ascontiguousarray(np.concatenate([pair.a for pair in pairs]), np.float32)
    owner = np.repeat(np.array([pair.adapter for pair in pairs], np.int32), ranks)
    lines: list[np.ndarray] = []
    numbers: list[int] = []
    b_start = np.zeros(panels + 1, np.int32)
    for panel in range(panels):
        low, high = panel * PANEL, (panel + 1) * PANEL
        for pair, start in zip(pairs, starts, strict=False):
            left, right = max(low, pair.first), min(high, pair.first + len(pair.b))
            if left < right:
                block = np.zeros((pair.b.shape[1], PANEL), np.float32)
                block[:, left - low : right - low] = pair.b[left - pair.first : right - pair.first].T
                lines.append(block)
                numbers += range(start, start + len(block))
        b_start[panel + 1] = len(numbers)
    return a, owner, np.concatenate(lines), b_start, np.array(numbers, np.int32)
