"""The vector instructions of the final IR in NumPy, by their name.

Operands come as arrays, or as numbers where the instruction takes a scalar; arithmetic is in the operands' own type.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from hivm_ir import Operation
from memory import DTYPES

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


def arange(shape: tuple[int, ...], offset: int, strides: list[int]) -> np.ndarray:
    """offset + sum of index * stride."""
    out = np.zeros(shape, np.int64) + offset
    for axis, stride in enumerate(strides):
        out += (np.arange(shape[axis]) * stride).reshape((-1,) + (1,) * (len(shape) - axis - 1))
    return out


def compute(
    operation: Operation, name: str, sources: list[Any], targets: list[tuple[tuple[int, ...], str]], values: list[Any]
) -> list[Any]:
    """What an instruction writes to its targets, given as shape and element; `values` are all its operands."""
    shape, element = targets[0]
    if operation.numbers("transpose") or operation.property("init_out_buffer") == "true" or _left(operation, values):
        raise UnknownOperation(f"hivm.hir.{name} with {operation.properties[:200]}")
    if name in ("load", "store", "copy"):
        return [sources[0]]
    if name == "vbrc":
        return [np.broadcast_to(sources[0], shape)]
    if name == "varange":
        segments = operation.numbers("operandSegmentSizes")
        offset = int(values[1]) if segments[1] else 0
        return [arange(shape, offset, [int(n) for n in values[1 + segments[1] :]])]
    if name == "vcmp":
        return [COMPARE[operation.word("compare_mode") or "eq"](*_same(sources))]
    if name == "vcast":
        return [cast(sources[0], element, operation.word("round_mode") or "rint")]
    if name == "vreduce":
        found = reduce(operation.word("arith") or "", sources[0], tuple(operation.numbers("reduce_dims")))
        return [item.reshape(place) for item, (place, _) in zip(found, targets, strict=True)]
    if name == "vdeinterleave":
        channel = int((operation.word("index_mode") or "CHANNEL_0")[-1])
        return [sources[0][..., channel::2]]
    if name == "vsel":
        return [np.where(sources[0], *_same(sources[1:]))]
    if name in ELEMENTWISE:
        return [ELEMENTWISE[name](*_same(sources))]
    raise UnknownOperation(f"hivm.hir.{name} {operation.properties[:200]}")


def _left(operation: Operation, values: list[Any]) -> bool:
    """Whether a load begins with padding."""
    return operation.name == "hivm.hir.load" and len(values) > 3 and values[3] != 0


def _same(operands: list[Any]) -> list[Any]:
    """Scalars in the type of the vectors beside them."""
    kinds = [item.dtype for item in operands if isinstance(item, np.ndarray)]
    return [item if isinstance(item, np.ndarray) or not kinds else kinds[0].type(item) for item in operands]
