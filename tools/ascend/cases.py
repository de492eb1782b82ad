"""What is proved: each kernel with its element types, and cases with the results its contract gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from memory import from_bf16, to_bf16

FLOATS = ("fp32", "fp16", "bf16")
"""Element types by Triton's names."""


@dataclass(frozen=True)
class Case:
    """One launch: arrays in the order of the kernel's parameters, and what some of them must hold afterwards."""

    name: str
    arrays: dict[str, np.ndarray]
    scalars: dict[str, int]
    grid: tuple[int, ...]
    expected: dict[str, np.ndarray]
    tolerance: dict[str, float] = field(default_factory=dict)
    """Relative to the largest value; equal to the bit where none is given."""
    dtypes: dict[str, str] = field(default_factory=dict)
    """Element types of arrays that are bfloat16."""
    small: bool = True
    """Whether the bounded grid has Triton's interpreter run it, which takes 0.1 s for a reduction."""
    bytes_moved: int = 0
    """Bytes the operator cannot but read and write, for the roofline."""

    def fresh(self) -> list[np.ndarray]:
        """Copies of the arrays."""
        return [array.copy() for array in self.arrays.values()]

    def differences(self, arrays: list[np.ndarray]) -> list[str]:
        """What is not as the contract has it, in a line each."""
        found = []
        for (name, before), array in zip(self.arrays.items(), arrays, strict=True):
            wanted = self.expected.get(name, before)
            if (why := difference(array, wanted, self.tolerance.get(name, 0.0), self.dtypes.get(name))) is not None:
                found.append(f"{self.name}: {name} {why}")
        return found


@dataclass(frozen=True)
class Kernel:
    """One compiled form of a Triton kernel: element types and constants are set."""

    operator: str
    name: str
    label: str
    signature: dict[str, str]
    constants: dict[str, Any]
    cases: Callable[[bool], Iterator[Case]]
    """Bounded or whole: to cases."""
    bounded: bool
    """Whether the bounded grid has it."""


def difference(array: np.ndarray, wanted: np.ndarray, tolerance: float, dtype: str | None) -> str | None:
    """Where two arrays differ, None where they do not."""
    if tolerance == 0.0:
        # -0 and 0 are equal, and so is NaN with NaN: arrays that a kernel must leave alone may hold it
        same = (array == wanted) | ((array != array) & (wanted != wanted))
        if same.all():
            return None
        at = int(np.argmin(same.ravel()))
        return f"is {array.ravel()[at]}, not {wanted.ravel()[at]} at {at} ({int((~same).sum())} differ)"
    a, b = numbers(array, dtype).astype(np.float64), numbers(wanted, dtype).astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return "is not infinite where it should be"
    if not np.isfinite(a[finite]).all():
        return "is not finite where it should be"
    gap = np.abs(a[finite] - b[finite]).max(initial=0)
    limit = tolerance * max(1.0, np.abs(b[finite]).max(initial=0))
    return None if gap <= limit else f"is {gap:.3g} off, more than {limit:.3g}"


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 numbers as an element type holds them."""
    if dtype == "bf16":
        return to_bf16(values)
    return values.astype(np.float16 if dtype == "fp16" else np.float32)


def numbers(array: np.ndarray, dtype: str | None) -> np.ndarray:
    """The numbers that an array holds."""
    return from_bf16(array) if dtype == "bf16" else array


def size_of(dtype: str) -> int:
    """Bytes of an element."""
    return 4 if dtype == "fp32" else 2
