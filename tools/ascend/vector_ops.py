"""The vector instructions of the final IR in NumPy, by their name.

Operands come as arrays, or as numbers where the instruction takes a scalar; arithmetic is in the operands' own type.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hivm_ir import Operation

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "vadd": np.add,
    "vsub": np.subtract,
    "vmul": np.multiply,
    "vdiv": lambda a, b: a / b if np.asarray(a).dtype.kind == "f" else np.trunc(a / b),
    "vmax": np.maximum,
    "vmin": np.minimum,
    "vand": np.bitwise_and,
    "vor": np.bitwise_or,
    "vxor": np.bitwise_xor,
    "vnot": np.invert,
    "vexp": np.exp,
    "vln": np.log,
    "vabs": np.abs,
    "vsqrt": np.sqrt,
    "vrec": lambda a: 1 / a,
    "vrelu": lambda a: np.maximum(a, 0),
    "vshl": np.left_shift,
    "vshr": np.right_shift,
    "vsel": np.where,
}
"""Instructions whose result at a place depends on the operands there."""

_ROUND: dict[str, Callable[[Any], Any]] = {
    "rint": np.rint,
    "trunc": np.trunc,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
}


class UnknownOperation(Exception):
    """The final IR has an operation that is not known here."""


def cast(value: np.ndarray, element: str, mode: str) -> np.ndarray:
    """A vector of another type; what is too large for an integer keeps its low bits."""
    from memory import DTYPES

    if element == "bf16":
        return value.astype(np.float32)
    dtype = DTYPES[element]
    if value.dtype.kind == "f" and dtype.kind in "iu":
        value = _ROUND.get(mode, np.rint)(value)
    return value.astype(dtype)


def reduce(kind: str, value: np.ndarray, axes: tuple[int, ...]) -> list[np.ndarray]:
    """A reduction over some axes, which stay with length 1; with the index of the first place where it is asked for."""
    if kind == "sum":
        return [np.add.reduce(value, axis=axes, keepdims=True, dtype=value.dtype)]
    simple: dict[str, Callable[..., Any]] = {
        "max": np.max,
        "min": np.min,
        "prod": np.prod,
        "any": np.any,
        "all": np.all,
        "ori": np.bitwise_or.reduce,
        "andi": np.bitwise_and.reduce,
        "xori": np.bitwise_xor.reduce,
    }
    if kind in simple:
        return [simple[kind](value, axis=axes, keepdims=True)]
    if kind in ("max_with_index_left", "min_with_index_left"):
        best, first = (np.max, np.argmax) if kind.startswith("max") else (np.min, np.argmin)
        return [best(value, axis=axes, keepdims=True), first(value, axis=axes[0], keepdims=True).astype(np.int32)]
    raise UnknownOperation(f"reduction {kind}")


def arange(operation: Operation, shape: tuple[int, ...], offset: int, strides: list[int]) -> np.ndarray:
    """offset + sum of index * stride."""
    out = np.zeros(shape, np.int64) + offset
    for axis, stride in enumerate(strides):
        out += (np.arange(shape[axis]) * stride).reshape((-1,) + (1,) * (len(shape) - axis - 1))
    return out
