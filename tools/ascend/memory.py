"""Views of the unified buffer and of global memory, as bytes and as numbers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from clocks import Shadow

UB_BYTES = 196_608
"""Unified buffer of a vector core of the 910B (1,572,864 bits, as the compiler has it)."""

GARBAGE = 0xA5
"""What memory holds before anything is written, and after an instruction has used it for its own."""

DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(np.uint16),
    "i8": np.dtype(np.int8),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "i1": np.dtype(np.bool_),
}
"""How an element is stored; bf16 as its bits, i1 as one bit."""


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """float32 values rounded to nearest even bfloat16, as bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


class OutOfBounds(Exception):
    """An access outside a memory."""


class Memory:
    """Bytes, with the shadow that knows who touched them."""

    def __init__(self, name: str, data: np.ndarray):
        self.name, self.data, self.shadow = name, data, Shadow(len(data))


@dataclass(slots=True)
class View:
    """A strided part of a memory; offset and strides in elements of its type, start in bytes."""

    memory: Memory
    element: str
    start: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    root: int = -1
    """Planned address of the buffer it is a part of."""

    @property
    def dense(self) -> bool:
        """Whether elements are beside each other in the order of the indices."""
        step = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size != 1 and stride != step:
                return False
            step *= size
        return True

    def _elements(self) -> np.ndarray:
        out = np.zeros(self.shape, np.int64) + self.offset
        for axis, (size, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            steps = np.arange(size) * stride
            out += steps.reshape((size,) + (1,) * (len(self.shape) - axis - 1))
        return out

    def _check(self, first: int, last: int) -> None:
        if first < 0 or last > len(self.memory.data):
            raise OutOfBounds(f"bytes {first} to {last} of {self.memory.name}, which has {len(self.memory.data)}")

    def read(self) -> np.ndarray:
        """Its numbers; bf16 as float32."""
        if 0 in self.shape:
            return np.zeros(self.shape, np.float32 if self.element == "bf16" else DTYPES[self.element])
        if self.element == "i1":
            bits = self._elements()
            self._check(self.start + int(bits.min()) // 8, self.start + int(bits.max()) // 8 + 1)
            return (self.memory.data[self.start + bits // 8] >> (bits % 8) & 1).astype(bool)
        array = self._array()
        return from_bf16(array) if self.element == "bf16" else array.copy()

    def write(self, values: np.ndarray) -> None:
        """Put numbers in its place."""
        if 0 in self.shape:
            return
        if self.element == "i1":
            bits = self._elements()
            self._check(self.start + int(bits.min()) // 8, self.start + int(bits.max()) // 8 + 1)
            values = np.broadcast_to(values, self.shape)
            if self.dense and self.offset % 8 == 0 and bits.size % 8 == 0:
                first = self.start + self.offset // 8
                self.memory.data[first : first + bits.size // 8] = np.packbits(values.ravel(), bitorder="little")
                return
            np.bitwise_and.at(self.memory.data, self.start + bits // 8, ~(1 << (bits % 8)).astype(np.uint8))
            np.bitwise_or.at(
                self.memory.data, self.start + bits // 8, (values.astype(np.uint8) << (bits % 8)).astype(np.uint8)
            )
            return
        self._array()[...] = to_bf16(np.asarray(values)) if self.element == "bf16" else values

    def _array(self) -> np.ndarray:
        dtype = DTYPES[self.element]
        size = dtype.itemsize
        begin = self.start + self.offset * size
        last = begin + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)) * size
        self._check(begin, last + size)
        steps = tuple(stride * size for stride in self.strides)
        return np.ndarray(self.shape, dtype, self.memory.data.data, begin, steps)

    def where(self) -> np.ndarray | slice:
        """Its bytes, for the shadow."""
        if 0 in self.shape:
            return slice(0, 0)
        if self.element == "i1":
            bits = self._elements()
            begin, end = self.start + int(bits.min()) // 8, self.start + int(bits.max()) // 8 + 1
            self._check(begin, end)
            return slice(begin, end)
        size = DTYPES[self.element].itemsize
        if self.dense:
            begin = self.start + self.offset * size
            end = begin + size * math.prod(self.shape)
            self._check(begin, end)
            return slice(begin, end)
        begins = self.start + self._elements().ravel() * size
        self._check(int(begins.min()), int(begins.max()) + size)
        return (begins[:, None] + np.arange(size)).ravel()
