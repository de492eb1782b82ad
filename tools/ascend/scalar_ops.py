"""Scalar operations of the final IR: arith, affine and a little of math, on Python and NumPy numbers."""

import math
import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from hivm_ir import Operation
from memory import from_bf16
from vector_ops import UnknownOperation

_BITS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "index": 64}
_FLOATS: dict[str, Any] = {"f32": np.float32, "f16": np.float16, "bf16": np.float32, "f64": np.float64}

_INTEGER: dict[str, Callable[[int, int], int]] = {
    "addi": lambda a, b: a + b,
    "subi": lambda a, b: a - b,
    "muli": lambda a, b: a * b,
    "andi": lambda a, b: a & b,
    "ori": lambda a, b: a | b,
    "xori": lambda a, b: a ^ b,
    "shli": lambda a, b: a << b,
    "shrsi": lambda a, b: a >> b,
    "maxsi": max,
    "minsi": min,
    "divsi": lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1),
    "remsi": lambda a, b: abs(a) % abs(b) * (-1 if a < 0 else 1),
    "floordivsi": lambda a, b: a // b,
    "ceildivsi": lambda a, b: -(-a // b),
}
_UNSIGNED: dict[str, Callable[[int, int], int]] = {
    "shrui": lambda a, b: a >> b,
    "divui": lambda a, b: a // b,
    "remui": lambda a, b: a % b,
    "maxui": max,
    "minui": min,
}
_FLOAT: dict[str, Callable[..., Any]] = {
    "addf": lambda a, b: a + b,
    "subf": lambda a, b: a - b,
    "mulf": lambda a, b: a * b,
    "divf": lambda a, b: a / b,
    "maximumf": np.maximum,
    "minimumf": np.minimum,
    "maxnumf": np.fmax,
    "minnumf": np.fmin,
    "negf": lambda a: -a,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "absf": np.abs,
}
_AFFINE: dict[str, Callable[[int, int], int]] = {
    "*": operator.mul,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "ceildiv": lambda a, b: -(-a // b),
}
_ORDER = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)
"""In the order of the predicates of arith.cmpi."""


def wrap(value: int, kind: str) -> int:
    """An integer as a signed one of its bits."""
    bits = _BITS[kind]
    if bits == 1:
        return value & 1
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def constant(operation: Operation) -> Any:
    """The value of arith.constant."""
    text, kind = operation.property("value") or "", operation.result_types[0]
    number = text.partition(" : ")[0]
    if kind in _FLOATS:
        if number.startswith("0x"):
            bits = int(number, 16)
            if kind == "f32":
                return np.uint32(bits).view(np.float32)
            if kind == "f16":
                return np.uint16(bits).view(np.float16)
            return from_bf16(np.array([bits], np.uint16))[0]
        return _FLOATS[kind](float(number))
    return {"true": 1, "false": 0}.get(number) if number in ("true", "false") else int(number)


def scalar(operation: Operation, operands: list[Any], maps: dict[str, str]) -> Any:
    """The result of one scalar operation."""
    dialect, _, name = operation.name.partition(".")
    kind = operation.result_types[0] if operation.result_types else ""
    if dialect == "affine":
        text = operation.property("map") or ""
        found = _affine(maps[text] if text in maps else text.removeprefix("affine_map<").removesuffix(">"))(*operands)
        return {"apply": lambda: found[0], "min": lambda: min(found), "max": lambda: max(found)}[name]()
    if name == "constant":
        return constant(operation)
    if name == "select":
        return operands[1] if operands[0] else operands[2]
    if name == "cmpi":
        predicate = int((operation.property("predicate") or "").partition(" ")[0])
        a, b = (int(item) for item in operands)
        if predicate >= 6:
            mask = (1 << _BITS[operation.operand_types[0]]) - 1
            a, b, predicate = a & mask, b & mask, predicate - 4
        return int(_ORDER[predicate](a, b))
    if name == "cmpf":
        predicate = int((operation.property("predicate") or "").partition(" ")[0])
        return int(_float_compare(predicate, *operands))
    if name in _INTEGER:
        return wrap(_INTEGER[name](*(int(item) for item in operands)), kind)
    if name in _UNSIGNED:
        mask = (1 << _BITS[kind]) - 1
        return wrap(_UNSIGNED[name](*(int(item) & mask for item in operands)), kind)
    if name in _FLOAT:
        return _FLOATS[kind](_FLOAT[name](*operands))
    if name in ("index_cast", "extsi", "trunci"):
        return wrap(int(operands[0]), kind)
    if name in ("extui", "index_castui"):
        return wrap(int(operands[0]) & ((1 << _BITS[operation.operand_types[0]]) - 1), kind)
    if name in ("sitofp", "extf", "truncf"):
        return _FLOATS[kind](operands[0])
    if name == "uitofp":
        return _FLOATS[kind](int(operands[0]) & ((1 << _BITS[operation.operand_types[0]]) - 1))
    if name == "fptosi":
        return wrap(math.trunc(float(operands[0])), kind)
    if name == "bitcast" and kind == "i32":
        return int(np.float32(operands[0]).view(np.int32))
    if name == "bitcast" and kind == "f32":
        return np.int32(operands[0]).view(np.float32)
    raise UnknownOperation(operation.name)


def _float_compare(predicate: int, a: Any, b: Any) -> bool:
    """Predicates of arith.cmpf: 1-6 are false with NaN, 8-13 true."""
    unordered = bool(np.isnan(a) or np.isnan(b))
    order = {1: 0, 2: 4, 3: 5, 4: 2, 5: 3, 6: 1}
    if predicate in (0, 15):
        return predicate == 15
    if predicate in (7, 14):
        return unordered == (predicate == 14)
    if predicate < 7:
        return not unordered and bool(_ORDER[order[predicate]](a, b))
    return unordered or bool(_ORDER[order[predicate - 7]](a, b))


@cache
def _affine(text: str) -> Callable[..., list[int]]:
    """An affine map as a function: `(d0)[s0] -> (s0 floordiv 2 + d0)`."""
    head, _, body = text.partition(" -> ")
    names = re.findall(r"[ds]\d+", head)
    if not re.fullmatch(r"[\sds\d+\-*(),]*", re.sub(r"floordiv|ceildiv|mod", "", body)):
        raise UnknownOperation(f"affine map {text}")
    tokens = re.findall(r"floordiv|ceildiv|mod|[ds]\d+|\d+|[-+*(),]", body)
    return lambda *values: _Affine(tokens, dict(zip(names, (int(v) for v in values), strict=True))).results()


class _Affine:
    """Evaluates the results of an affine map by recursive descent."""

    def __init__(self, tokens: list[str], names: dict[str, int]):
        self.tokens, self.names, self.at = tokens, names, 0

    def results(self) -> list[int]:
        self.at, found = 1, []
        while True:
            found.append(self.sum())
            self.at += 1
            if self.tokens[self.at - 1] == ")":
                return found

    def sum(self) -> int:
        value = self.product()
        while self.tokens[self.at] in ("+", "-"):
            self.at += 1
            value = value + self.product() if self.tokens[self.at - 1] == "+" else value - self.product()
        return value

    def product(self) -> int:
        value = self.factor()
        while self.tokens[self.at] in ("*", "floordiv", "ceildiv", "mod"):
            sign = self.tokens[self.at]
            self.at += 1
            other = self.factor()
            value = _AFFINE[sign](value, other)
        return value

    def factor(self) -> int:
        token = self.tokens[self.at]
        self.at += 1
        if token == "-":
            return -self.factor()
        if token == "(":
            value = self.sum()
            self.at += 1
            return value
        return self.names[token] if token in self.names else int(token)
