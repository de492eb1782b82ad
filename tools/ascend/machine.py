"""Runs the final IR of a kernel on the CPU: buffers at their planned addresses in one arena, flags and barriers traced.

One program at a time, as a vector core would; the order is that of the text, and `clocks` says whether the pipes had to
keep it.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import scalar_ops
import vector_ops
from clocks import Clocks
from hivm_ir import DYNAMIC, Block, Module, Operation, memref
from memory import DTYPES, GARBAGE, UB_BYTES, Memory, View
from vector_ops import UnknownOperation

PIPE_OF = {"load": "MTE2", "store": "MTE3"}


class Machine:
    """A kernel of a module with its arrays in global memory.

    `skip` are numbers of operations that are left out, `blind` those of waits that order nothing, `moved` the unified
    buffer's addresses that stand for others: how faults are planted.
    """

    def __init__(
        self,
        module: Module,
        kernel: str,
        skip: Collection[int] = (),
        blind: Collection[int] = (),
        moved: dict[int, int] | None = None,
    ):
        self.module, self.function = module, module.functions[kernel]
        self.skip, self.blind, self.moved = skip, blind, moved or {}
        self.patient = True
        """Whether programs go on after one of which something was found."""
        self.findings: dict[str, int] = {}
        self.instructions: dict[str, int] = {}
        self.ub_used = 0
        self.events: list[tuple[int, list[int], list[int]]] | None = None
        """On request, each instruction with the buffers it reads and those it writes, by planned address."""
        self.executed: set[int] = set()
        """Numbers of the flags and barriers that were reached."""

    def run(self, arrays: Sequence[np.ndarray], scalars: Sequence[Any], grid: Sequence[int]) -> None:
        """All programs of a grid, one after another; the arrays are changed in place."""
        memories = [Memory(f"argument {i}", _bytes(array)) for i, array in enumerate(arrays)]
        empty = Memory("no memory", np.zeros(0, np.uint8))
        sizes = [*grid, 1, 1, 1][:3]
        block = self.function.regions[0]
        kinds = block.argument_types[3 : 3 + len(arrays)]
        views = [View(m, memref(kind).element, 0, 0, (0,), (1,)) for m, kind in zip(memories, kinds, strict=True)]
        touched = [(np.zeros(len(m.data), np.bool_), np.zeros(len(m.data), np.bool_)) for m in memories]
        start: list[Any] = [0, View(empty, "i8", 0, 0, (0,), (1,)), View(empty, "i8", 0, 0, (0,), (1,)), *views]
        for index in range(sizes[0] * sizes[1] * sizes[2]):
            self.ub = Memory("the unified buffer", np.full(UB_BYTES, GARBAGE, np.uint8))
            for memory in memories:
                memory.shadow = type(memory.shadow)(len(memory.data))
            self.owner = np.full(UB_BYTES, -1, np.int32)
            self.clocks = Clocks()
            self.block_index = index
            given = [*start, *scalars, *sizes, 0, 0, 0]
            self.values = dict(zip(block.arguments, given[: len(block.arguments)], strict=True))
            with np.errstate(all="ignore"):
                self._block(block)
            self.clocks.finish()
            for memory, earlier in zip(memories, touched, strict=True):
                if text := _meet(memory, *earlier):
                    self.clocks.findings[text] += 1
            for text, count in self.clocks.findings.items():
                self.findings[text] = self.findings.get(text, 0) + count
            if self.findings and not self.patient:
                return
            for pipe, count in self.clocks.instructions.items():
                self.instructions[pipe] = self.instructions.get(pipe, 0) + count

    def _block(self, block: Block) -> list[Any]:
        for operation in block.operations:
            dialect, _, name = operation.name.partition(".")
            if operation.number in self.skip:
                self.executed.add(operation.number)
                continue
            if name in ("yield", "return"):
                return [self.values[item] for item in operation.operands]
            if dialect == "hivm":
                found = self._hivm(operation, name.removeprefix("hir."))
            elif dialect == "memref":
                found = self._memref(operation, name)
            elif dialect == "scf":
                found = self._scf(operation, name)
            else:
                operands = [self.values[item] for item in operation.operands]
                found = [scalar_ops.scalar(operation, operands, self.module.maps)]
            for result, value in zip(operation.results, found, strict=True):
                self.values[result] = value
        return []

    def _scf(self, operation: Operation, name: str) -> list[Any]:
        values = [self.values[item] for item in operation.operands]
        if name == "if":
            region = operation.regions[0 if values[0] else 1]
            return self._block(region)
        if name == "for":
            low, high, step, *carried = values
            body = operation.regions[0]
            for i in range(int(low), int(high), int(step)):
                self.values.update(zip(body.arguments, [i, *carried], strict=True))
                carried = self._block(body)
            return carried
        raise UnknownOperation(f"scf.{name}")

    def _memref(self, operation: Operation, name: str) -> list[Any]:
        values = [self.values[item] for item in operation.operands]
        if name in ("load", "store"):
            view: View = values[0 if name == "load" else 1]
            indices = values[1 if name == "load" else 2 :]
            offset = view.offset + sum(int(i) * stride for i, stride in zip(indices, view.strides, strict=True))
            place = View(view.memory, view.element, view.start, offset, (), (), view.root)
            if name == "store":
                place.write(np.asarray(values[0], None if view.element == "bf16" else DTYPES[view.element]))
            self._note(operation, "S", *(([place], []) if name == "load" else ([], [place])))
            return [place.read()[()]] if name == "load" else []
        return [self._view(operation, name, values)]

    def _view(self, operation: Operation, name: str, values: list[Any]) -> View:
        source: View = values[0]
        kind = memref(operation.result_types[0])
        if name in ("cast", "memory_space_cast"):
            return source
        if name in ("collapse_shape", "expand_shape"):
            shape = tuple(-1 if n is None else n for n in kind.shape)
            if -1 in shape:
                known = -int(np.prod(shape, dtype=np.int64))
                shape = tuple(_size(source) // known if n == -1 else n for n in shape)
            steps = _dense(shape) if kind.strides is None else tuple(n if n is not None else 1 for n in kind.strides)
            if kind.strides is None and not source.dense:
                raise UnknownOperation(f"memref.{name} of a strided view")
            return View(source.memory, source.element, source.start, source.offset, shape, steps, source.root)
        rest = iter(values[1:])
        offsets, sizes, strides = (
            [int(next(rest)) if n == DYNAMIC else n for n in operation.numbers(f"static_{part}")]
            for part in ("offsets", "sizes", "strides")
        )
        if name == "reinterpret_cast":
            return View(source.memory, kind.element, source.start, offsets[0], tuple(sizes), tuple(strides))
        if name == "subview":
            offset = source.offset + sum(o * s for o, s in zip(offsets, source.strides, strict=True))
            own = [a * b for a, b in zip(strides, source.strides, strict=True)]
            if len(kind.shape) < len(sizes):  # dimensions of one element are dropped
                kept = [i for i, n in enumerate(sizes) if n != 1][: len(kind.shape)]
                kept = kept if len(kept) == len(kind.shape) else list(range(len(kind.shape)))
                sizes, own = [sizes[i] for i in kept], [own[i] for i in kept]
            return View(source.memory, source.element, source.start, offset, tuple(sizes), tuple(own), source.root)
        raise UnknownOperation(f"memref.{name}")

    def _hivm(self, operation: Operation, name: str) -> list[Any]:
        if name in ("set_flag", "wait_flag"):
            before, after = ((operation.word(key) or "")[5:] for key in ("set_pipe", "wait_pipe"))
            self.executed.add(operation.number)
            event = operation.word("static_event_id")
            number = int(event[8:]) if event else int(self.values[operation.operands[0]])
            if name == "set_flag":
                self.clocks.set_flag(before, after, number)
            else:
                self.clocks.wait_flag(before, after, number, operation.number in self.blind)
            return []
        if name == "pipe_barrier":
            self.executed.add(operation.number)
            self.clocks.barrier((operation.word("pipe") or "")[5:])
            return []
        if name in ("set_mask_norm", "set_ffts_base_addr", "dcci"):
            return []
        if name == "get_block_idx":
            return [self.block_index]
        values = [self.values[item] for item in operation.operands]
        if name == "pointer_cast":
            return [self._buffer(operation, values)]
        if name == "bitcast":
            source: View = values[0]
            kind = memref(operation.result_types[0])
            return [
                View(
                    source.memory, kind.element, source.start, source.offset, source.shape, source.strides, source.root
                )
            ]
        self._vector(operation, name, values)
        return []

    def _buffer(self, operation: Operation, values: list[Any]) -> View:
        kind = memref(operation.result_types[0])
        sizes = iter(values[1:])
        shape = tuple(int(next(sizes)) if n is None else n for n in kind.shape)
        planned = int(values[0])
        start = self.moved.get(planned, planned)
        bits = 1 if kind.element == "i1" else DTYPES[kind.element].itemsize * 8
        self.ub_used = max(self.ub_used, planned + -(-math.prod(shape) * bits // 8))
        return View(self.ub, kind.element, start, 0, shape, _dense(shape), planned)

    def _vector(self, operation: Operation, name: str, values: list[Any]) -> None:
        """One instruction of a data pipe: operands are sources, then results, then memory it uses for its own."""
        segments = operation.numbers("operandSegmentSizes")
        own: list[Any] = []
        if name in ("load", "store", "copy", "vbrc"):
            sources, targets = values[:1], values[1:2]
        elif name == "varange":
            sources, targets = [], values[:1]
        elif name in ("vdeinterleave", "vtranspose"):
            sources, targets, own = values[:1], values[1:2], values[2:]
        elif segments:
            first, second = segments[0], segments[0] + segments[1]
            sources, targets, own = values[:first], values[first:second], values[second:]
        else:
            raise UnknownOperation(f"hivm.hir.{name} {operation.properties[:200]}")
        own = [item for item in own if isinstance(item, View)]
        self._note(operation, PIPE_OF.get(name, "V"), [v for v in sources if isinstance(v, View)], [*targets, *own])
        shapes = [(view.shape, view.element) for view in targets]
        found = vector_ops.compute(operation, name, [_read(v) for v in sources], shapes, values)
        for view in own:
            view.memory.data[view.where()] = GARBAGE
        for view, value in zip(targets, found, strict=True):
            view.write(np.asarray(value))

    def _note(self, operation: Operation, pipe: str, reads: list[View], writes: list[View]) -> None:
        """Trace an instruction: order between pipes, and that values are read from the buffer they were written to."""
        label = f"{operation.name.rpartition('.')[2]} #{operation.number}"
        read = [(view.memory.shadow, view.where()) for view in reads]
        written = [(view.memory.shadow, view.where()) for view in writes]
        self.clocks.instruction(pipe, label, read, written)
        for view, (_, where) in zip(reads, read, strict=True):
            if view.memory is self.ub:
                others = self.owner[where] != view.root
                if others.any():
                    other = int(self.owner[where][np.argmax(others)])
                    what = "nothing wrote" if other < 0 else f"were written to the buffer at {other}"
                    self.clocks.findings[f"buffers: {label} reads bytes at {view.root} that {what}"] += 1
        for view, (_, where) in zip(writes, written, strict=True):
            if view.memory is self.ub:
                self.owner[where] = view.root
        if self.events is not None:
            inside = [[view.root for view in views if view.memory is self.ub] for views in (reads, writes)]
            self.events.append((operation.number, inside[0], inside[1]))


def _bytes(array: np.ndarray) -> np.ndarray:
    if not array.flags.c_contiguous:
        raise ValueError("arrays have to be dense, so that they can be changed in place")
    return array.reshape(-1).view(np.uint8)


def _meet(memory: Memory, written: np.ndarray, read: np.ndarray) -> str | None:
    """Whether a program, which runs beside the others, touches what another writes; notes what it has touched."""
    writes, reads = memory.shadow.write_count > 0, memory.shadow.reads.any(axis=0)
    met = bool((writes & (written | read)).any() or (reads & written).any())
    written |= writes
    read |= reads
    return f"programs: two of them touch the same bytes of {memory.name}, and one writes" if met else None


def _read(value: Any) -> Any:
    return value.read() if isinstance(value, View) else value


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def _size(view: View) -> int:
    return int(np.prod(view.shape, dtype=np.int64))
