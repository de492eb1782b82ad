"""MLIR in its generic form as a tree: operations with operands, properties, types and regions."""

import re
from dataclasses import dataclass, field
from functools import cache

DYNAMIC = -9223372036854775808
"""Stands in static_offsets and the like for a value that is an operand."""

_OPERATION = re.compile(r'^(?:(%[\w#]+)(?::(\d+))? = )?"([\w.]+)"\(([^)]*)\)(?: <\{(.*?)\}>)?( \(\{)?(.*)$')
_MEMREF = re.compile(r"^memref<((?:[?\d]+x)*)(\w+)(.*)>$")


class IrError(Exception):
    """The text is not generic MLIR as it is known here; the message holds the line."""


@dataclass(frozen=True, slots=True)
class MemRef:
    """A memref type; None for what is only known when the kernel runs."""

    shape: tuple[int | None, ...]
    element: str
    """"f32", "i1", ..."""
    strides: tuple[int | None, ...] | None
    """In elements; None for dense."""
    space: str
    """"ub" (unified buffer), "gm" (global memory) or ""."""


@dataclass(slots=True)
class Operation:
    """One operation; `number` counts them in the order of the text."""

    number: int
    name: str
    results: list[str]
    operands: list[str]
    properties: str
    operand_types: list[str]
    result_types: list[str]
    regions: list["Block"] = field(default_factory=list)
    _known: dict[str, str | None] = field(default_factory=dict)

    def property(self, name: str) -> str | None:
        """The text of a property, None where it is not set."""
        if name not in self._known:
            self._known[name] = self._property(name)
        return self._known[name]

    def _property(self, name: str) -> str | None:
        found = re.search(
            rf"\b{name} = (array<[^>]*>|#[\w.]+<[^>]*>|affine_map<.*?>(?=, \w+ =|$)|[^,]*)", self.properties
        )
        return found.group(1).strip() if found else None

    def word(self, name: str) -> str | None:
        """What is in the angle brackets of an enumeration: "PIPE_V" of #hivm.pipe<PIPE_V>."""
        text = self.property(name)
        return text[text.rindex("<") + 1 : -1] if text else None

    def numbers(self, name: str) -> list[int]:
        """The integers of an array<i64: ...>."""
        text = self.property(name) or ""
        return [
            int(item) for item in text.removeprefix("array<").rstrip(">").partition(":")[2].split(",") if item.strip()
        ]


@dataclass(slots=True)
class Block:
    """A region of one block."""

    arguments: list[str]
    argument_types: list[str]
    operations: list[Operation]


@dataclass(slots=True)
class Module:
    """A module's functions by name, and its affine maps by alias."""

    functions: dict[str, Operation]
    maps: dict[str, str]
    count: int
    """Operations in all."""


def split(text: str) -> list[str]:
    """Parts between the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for i, letter in enumerate(text):
        if letter in "<([{":
            depth += 1
        elif letter in ")]}" or (letter == ">" and text[i - 1] != "-"):
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


@cache
def memref(text: str) -> MemRef:
    """The memref type of a text."""
    found = _MEMREF.match(text)
    if not found:
        raise IrError(f"{text!r} is no memref type")
    dimensions, element, rest = found.groups()
    shape = tuple(None if item == "?" else int(item) for item in dimensions.split("x")[:-1])
    strided = re.search(r"strided<\[([^\]]*)\]", rest)
    strides = None
    if strided:
        strides = tuple(
            None if item.strip() == "?" else int(item) for item in strided.group(1).split(",") if item.strip()
        )
    space = re.search(r"address_space<(\w+)>", rest)
    return MemRef(shape, element, strides, space.group(1) if space else "")


def parse(text: str) -> Module:
    """A module printed with --mlir-print-op-generic; what stands before it (a header, maps) is passed over."""
    maps: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if found := re.match(r"^(#\w+) = affine_map<(.*)>$", line):
            maps[found.group(1)] = found.group(2)
        elif lines or line.startswith('"builtin.module"'):
            lines.append(line.strip())
    if not lines:
        raise IrError("no module in generic form was found")
    reader = _Reader(lines)
    module = reader.operation()
    functions = {}
    for block in module.regions:
        for operation in block.operations:
            if operation.name == "func.func":
                name = operation.property("sym_name") or ""
                functions[name.strip('"')] = operation
    return Module(functions, maps, reader.count)


class _Reader:
    """Reads operations line after line."""

    def __init__(self, lines: list[str]):
        self.lines, self.at, self.count = lines, 0, 0

    def operation(self) -> Operation:
        line = self.lines[self.at]
        found = _OPERATION.match(line)
        if not found:
            raise IrError(f"line {self.at + 1} is no operation: {line[:120]}")
        result, many, name, operands, properties, opens, rest = found.groups()
        self.at += 1
        number, self.count = self.count, self.count + 1
        regions = []
        if opens:
            more = True
            while more:
                regions.append(self.block())
                rest = self.lines[self.at]
                self.at += 1
                more = rest == "}, {"
            rest = rest.removeprefix("})")
        signature = rest[rest.rindex(" : (") + 3 :] if " : (" in rest else "() -> ()"
        inputs, _, outputs = _arrow(signature)
        results = [] if result is None else [result] if many is None else [f"{result}#{i}" for i in range(int(many))]
        return Operation(
            number, name, results, split(operands), properties or "", split(inputs), split(outputs), regions
        )

    def block(self) -> Block:
        names, types = [], []
        if found := re.match(r"^\^bb\d+\((.*)\):$", self.lines[self.at]):
            for item in split(found.group(1)):
                name, _, kind = item.partition(": ")
                names.append(name)
                types.append(kind)
            self.at += 1
        operations = []
        while not self.lines[self.at].startswith("}"):
            operations.append(self.operation())
        return Block(names, types, operations)


def _arrow(signature: str) -> tuple[str, str, str]:
    """Inputs and outputs of `(a, b) -> c` or `(a, b) -> (c, d)`."""
    inputs, arrow, outputs = signature.rpartition(" -> ")
    inputs = inputs.strip()[1:-1]
    outputs = outputs.strip()
    return inputs, arrow, outputs[1:-1] if outputs.startswith("(") else outputs
