"""Planted faults: the proof is worth what it catches.

In the final IR each flag that is set, each wait and each barrier is left out in turn, each wait is made to order
nothing while its flag still matches, and each buffer is laid over each other one that is live at the same time. Before
compilation, tiles are made too large for the unified buffer, and masks of loads and stores wrong by one.
"""

import importlib.util
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import contracts
from cases import Case, Kernel
from compiler import Compiled, CompileError, compiled
from hivm_ir import Block, Operation
from machine import Machine
from memory import OutOfBounds

SYNCHRONISATION = {"set_flag": "set left out", "wait_flag": "wait left out", "pipe_barrier": "barrier left out"}

TILES = {"contrastive_score": "BLOCK", "best_tokens": "BLOCK", "tree_verify": "BLOCK", "trigram_lookup": "LANES"} | {
    "lora_shrink": "WIDTH",
    "lora_expand": "BLOCK",
    "kv_commit": "BLOCK",
}
"""Constant that is a kernel's tile."""

_MASK = re.compile(r"(?:mask=\(?|used = )((\w+) < (\w+))")

LARGE = 1 << 17
"""Elements of a tile that does not fit."""


@dataclass
class Outcome:
    """Faults by kind: how many were planted, and those that nothing noticed."""

    planted: Counter[str] = field(default_factory=Counter)
    missed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unreached: list[str] = field(default_factory=list)
    """Left out without effect, since no case reaches them."""

    def add(self, kind: str, what: str, caught: bool) -> None:
        """Count a fault."""
        self.planted[kind] += 1
        if not caught:
            self.missed[kind].append(what)


def plant(kernel: Kernel, made: Compiled, target: str) -> Outcome:
    """All faults of a kernel."""
    outcome = Outcome()
    cases = [case for case in kernel.cases(True) if case.small]
    clean = [_run(kernel, made, case, events=True) for case in cases]
    if wrong := [item for run in clean for item in (*run.findings, *run.wrong)]:
        raise CompileError(f"{kernel.name}: faults are planted in a clean kernel, this has {wrong}")

    def caught(**planted: Any) -> bool:
        return any(_run(kernel, made, case, **planted).caught for case in cases)

    reached = set[int]().union(*(run.executed for run in clean))
    for operation in _walk(made.module.functions[kernel.name].regions[0]):
        name = operation.name.removeprefix("hivm.hir.")
        if name in SYNCHRONISATION:
            what = f"{name} #{operation.number} {operation.properties}"
            if operation.number not in reached:
                outcome.unreached.append(what)
                continue
            outcome.add(SYNCHRONISATION[name], what, caught(skip={operation.number}))
            if name == "wait_flag":
                outcome.add("wait orders nothing", what, caught(blind={operation.number}))
    for first, second in sorted(set().union(*(live_pairs(run.events) for run in clean))):
        what = f"buffer at {second} laid over that at {first}"
        outcome.add("live buffers overlap", what, caught(moved={second: first}))
    _tile(kernel, target, outcome)
    for what, source in masks(kernel):
        outcome.add("mask wrong by one", what, _wrong_mask(kernel, source, target))
    return outcome


def live_pairs(events: list[tuple[int, list[int], list[int]]]) -> set[tuple[int, int]]:
    """Pairs of buffers of which one is written while the other holds what is still to be read."""
    written: dict[int, int] = {}
    writes: dict[int, list[int]] = defaultdict(list)
    held: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for time, (_, reads, targets) in enumerate(events):
        for root in reads:
            if root in written:
                held[root].append((written[root], time))
        for root in targets:
            written[root] = time
            writes[root].append(time)
    pairs = set[tuple[int, int]]()
    for root, spans in held.items():
        for other, times in writes.items():
            if other != root and any(begin < time < end for begin, end in spans for time in times):
                pairs.add((min(root, other), max(root, other)))
    return pairs


@dataclass
class _Ran:
    findings: dict[str, int]
    wrong: list[str]
    executed: set[int]
    events: list[tuple[int, list[int], list[int]]]

    @property
    def caught(self) -> bool:
        return bool(self.findings or self.wrong)


def _run(kernel: Kernel, made: Compiled, case: Case, events: bool = False, **planted: Any) -> _Ran:
    machine = Machine(made.module, kernel.name, **planted)
    machine.events, machine.patient = ([], True) if events else (None, False)
    arrays = case.fresh()
    try:
        machine.run(arrays, list(case.scalars.values()), case.grid)
    except OutOfBounds as error:
        return _Ran({}, [str(error)], machine.executed, [])
    return _Ran(machine.findings, case.differences(arrays), machine.executed, machine.events or [])


def _walk(block: Block) -> Iterator[Operation]:
    for operation in block.operations:
        yield operation
        for inner in operation.regions:
            yield from _walk(inner)


def _tile(kernel: Kernel, target: str, outcome: Outcome) -> None:
    constants = {**kernel.constants, TILES[kernel.name]: LARGE}
    try:
        compiled(replace(kernel, constants=constants), target)
    except CompileError as error:
        outcome.add("tile too large", f"{constants}", "ub overflow" in str(error))
        return
    outcome.add("tile too large", f"{constants}", False)


def masks(kernel: Kernel) -> Iterator[tuple[str, str]]:
    """Each mask of a kernel's loads and stores made wrong by one, as what it is and the source of the whole file."""
    source = Path(contracts.kernels(kernel.operator).__file__ or "").read_text(encoding="utf-8")
    begin = source.index(f"def {kernel.name}(")
    end = source.find("@triton.jit", begin)
    body = source[begin:end] if end >= 0 else source[begin:]
    for found in _MASK.finditer(body):
        at = begin + found.start(1)
        line = source.count("\n", 0, at) + 1
        for wrong in (f"{found[2]} <= {found[3]}", f"{found[2]} < {found[3]} - 1"):
            yield f"line {line}: {found[1]} became {wrong}", source[:at] + wrong + source[at + len(found[1]) :]


def _wrong_mask(kernel: Kernel, source: str, target: str) -> bool:
    """Whether the kernel with another source is found to be wrong; Triton reads sources from files."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wrong_mask.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location("wrong_mask", path)
        if spec is None or spec.loader is None:
            raise CompileError(f"{path}: cannot be imported")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        made = compiled(kernel, target, getattr(module, kernel.name))
    return any(_run(kernel, made, case).caught for case in kernel.cases(True) if case.small)
