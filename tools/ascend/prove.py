"""Proves the Triton kernels as far as it goes without an NPU: compiled to final HIVM, that IR executed and compared.

bash tools/ascend/prove.sh [--bounded] [--json FILE] [--report FILE]     (makes the environment, then runs this)
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import ascend_report
from cases import Kernel
from compiler import BOUNDED_TARGET, TARGETS, Compiled, CompileError, compiled, device_library
from faults import plant
from grid import all_kernels
from machine import Machine
from memory import UB_BYTES, OutOfBounds
from vector_ops import UnknownOperation

ENOUGH = 0.95
"""Share of the planted faults that has to be caught."""


def prove(index: int, targets: tuple[str, ...], bounded: bool) -> list[dict[str, Any]]:
    """One kernel: compiled for each target; final IR that is the same for several targets is executed once."""
    kernel = all_kernels()[index]
    rows, known = list[dict[str, Any]](), dict[str, dict[str, Any]]()
    for target in targets:
        start = time.perf_counter()
        row = {"operator": kernel.operator, "kernel": kernel.name, "label": kernel.label, "target": target}
        try:
            made = compiled(kernel, target)
        except CompileError as error:
            rows.append(row | {"compiled": False, "cases": [], "wrong": [str(error)], "seconds": 0.0})
            continue
        if made.text not in known:
            known[made.text] = executed(kernel, made, bounded) | {"executed": target}
        rows.append(row | known[made.text] | {"seconds": round(time.perf_counter() - start, 2)})
    return rows


def executed(kernel: Kernel, made: Compiled, bounded: bool) -> dict[str, Any]:
    """What the final IR does on all shapes, and what is wrong with it."""
    missing = sorted(name for name in made.calls if name not in device_library())
    wrong = [f"{name} is not in the device library" for name in missing]
    if not made.calls:
        wrong.append("calls nothing of the device library")
    cases, ub = list[dict[str, Any]](), 0
    for case in kernel.cases(bounded):
        machine, arrays = Machine(made.module, kernel.name), case.fresh()
        try:
            machine.run(arrays, list(case.scalars.values()), case.grid)
        except (OutOfBounds, UnknownOperation) as error:
            wrong.append(f"{case.name}: {type(error).__name__}: {error}")
        wrong += [*case.differences(arrays), *(f"{case.name}: {text}" for text in machine.findings)]
        ub = max(ub, machine.ub_used)
        counts = {"programs": math.prod(case.grid), "instructions": machine.instructions, "bytes": case.bytes_moved}
        cases.append({"name": case.name, **counts})
    if ub > UB_BYTES:
        wrong.append(f"{ub} bytes of unified buffer, {UB_BYTES} are there")
    found = {"calls": len(made.calls), "ub": ub, "doubled": made.doubled}
    return {"compiled": True, "cases": cases, "wrong": wrong, **found}


def planted(index: int, target: str) -> dict[str, Any]:
    """Faults of one kernel for one target."""
    kernel, start = all_kernels()[index], time.perf_counter()
    row: dict[str, Any] = {"kernel": kernel.name, "label": kernel.label, "target": target}
    try:
        outcome = plant(kernel, compiled(kernel, target), target)
        row |= {"planted": dict(outcome.planted), "missed": dict(outcome.missed), "unreached": outcome.unreached}
    except CompileError as error:
        row |= {"planted": {}, "missed": {}, "unreached": [], "error": str(error)}
    return row | {"seconds": round(time.perf_counter() - start, 2)}


def fault_kernels(kernels: list[Kernel]) -> list[int]:
    """One form of each kernel: where there are several, the first of the bounded grid."""
    first: dict[str, int] = {}
    for index, kernel in enumerate(kernels):
        if kernel.bounded:
            first.setdefault(kernel.name, index)
    return list(first.values())


def interpreter(bounded: bool) -> "subprocess.Popen[str]":
    """The same grid in Triton's interpreter, beside the rest."""
    command = [sys.executable, str(Path(__file__).with_name("interpret.py")), *(["--bounded"] if bounded else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TRITON_INTERPRET": "1"})


def collect(bounded: bool, targets: tuple[str, ...], workers: int) -> dict[str, Any]:
    """Everything, in processes side by side."""
    kernels = all_kernels()
    chosen = [i for i, kernel in enumerate(kernels) if kernel.bounded or not bounded]
    start = time.perf_counter()
    inside = interpreter(bounded)
    with ProcessPoolExecutor(workers) as pool:
        faults: list[Future[dict[str, Any]]] = [pool.submit(planted, i, BOUNDED_TARGET) for i in fault_kernels(kernels)]
        proofs = [pool.submit(prove, i, targets, bounded) for i in chosen]
        rows = [row for proof in proofs for row in proof.result()]
        result = {"rows": rows, "faults": [row.result() for row in faults]}
    lines = [json.loads(line) for line in (inside.communicate()[0] or "").splitlines()]
    if inside.returncode or len(lines) != len(chosen):
        lines.append({"kernel": "interpreter", "label": "", "cases": 0, "wrong": ["the interpreter did not finish"]})
    return result | {
        "interpreter": lines,
        "bounded": bounded,
        "targets": list(targets),
        "seconds": round(time.perf_counter() - start, 1),
    }


def failures(result: dict[str, Any]) -> list[str]:
    """What is wrong, in a line each."""
    found = []
    for row in (*result["rows"], *result["interpreter"]):
        where = f"{row['kernel']} {row['label']} {row.get('target', 'interpreter')}"
        found += [f"{where}: {text}" for text in row["wrong"]]
    found += [f"{row['kernel']} faults: {row['error']}" for row in result["faults"] if "error" in row]
    total, caught = ascend_report.counted(result["faults"])
    if caught < ENOUGH * total or not total:
        found.append(f"{caught} of {total} planted faults were caught, {ENOUGH:.0%} are wanted")
    return found


def main() -> int:
    """Prints the table; ends with 1 when anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bounded", action="store_true", help=f"{BOUNDED_TARGET} only, fewer shapes and types")
    parser.add_argument("--target", action="append", choices=TARGETS, help="instead of all")
    parser.add_argument("--json", type=Path, help="write everything that was found")
    parser.add_argument("--report", type=Path, help="write the page for people")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes side by side")
    given = parser.parse_args()
    targets = tuple(given.target) if given.target else (BOUNDED_TARGET,) if given.bounded else TARGETS
    result = collect(given.bounded, targets, given.workers)
    if given.json:
        ascend_report.write(given.json, json.dumps(result, indent=1) + "\n")
    if given.report:
        ascend_report.write(given.report, ascend_report.page(result))
    print(ascend_report.table(result))
    wrong = failures(result)
    for line in wrong:
        print(f"FAILED {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
