"""Every body of every operator beside its contract, and its time beside MindSpore's own operators."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from checks.models import use
from checks.step import Result, Setting, say

LEFT_OUT = ("akg",)
"""Compiled anew in every process, for minutes."""

TOLERANCE = 2e-2
"""Relative to the largest number of a result: what bfloat16 rounds over a product, below what a wrong one shows."""


def available(setting: Setting) -> dict[str, Any]:
    """What the registry says of each body on this device."""
    use(setting.device)
    from mindcold.ops import registry

    return {
        name: {body: reason or "runs" for body, reason in registry.get(name).available().items()}
        for name in registry.names()
    }


def contracts(setting: Setting) -> dict[str, Any]:
    """For each operator and body that is part of graphs: its deviation from the contract and the time of a call."""
    return measured(setting, lambda body: body.in_graph and body.name not in LEFT_OUT, {})


def launched(setting: Setting) -> dict[str, Any]:
    """The same for kernels that are launched between graphs, beside MindSpore's own operators."""
    use(setting.device)
    from checks import cases

    return measured(setting, lambda body: not body.in_graph or body.name == "builtin", cases.launched())


def measured(setting: Setting, wanted: Callable[[Any], bool], kernels: dict[str, Any]) -> dict[str, Any]:
    """Rows by operator and body, said as they come: what is known survives a process that crashes."""
    use(setting.device)
    from checks import cases
    from mindcold.ops import registry

    todo: dict[str, tuple[str | None, Callable[[], Any]]] = {
        f"{name}, {body.name}": (body.unavailable_reason(), partial(case, body.name))
        for name, case in cases.CASES.items()
        for body in registry.get(name.partition(",")[0]).bodies
        if wanted(body)
    }
    found: dict[str, Any] = {}
    for name, (reason, case) in (todo | kernels).items():
        say(Result("failed", message=f"ended in {name}", figures=found))
        found[name] = {"state": "missing", "message": reason} if reason else tried(case, setting.repeats)
    for name, row in found.items():
        own = found.get(f"{name.rpartition(', ')[0]}, builtin", {}).get("us")
        if own and row.get("us"):
            row["x builtin"] = round(row["us"] / own, 3)
    return found


def tried(case: Callable[[], tuple[Callable[[], Any], list[np.ndarray]]], repeats: int) -> dict[str, Any]:
    """One body: what went wrong in it is its row."""
    try:
        call, expected = case()
        deviations = [deviation(found, wanted) for found, wanted in zip(call(), expected, strict=True)]
        for _ in range(2):
            call()
        times = []
        for _ in range(max(1, repeats)):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    except Exception as error:  # the other bodies follow
        first = (str(error).strip().splitlines() or [""])[0][:200]
        return {"state": "failed", "message": f"{type(error).__name__}: {first}"}
    state = "ok" if max(deviations) <= TOLERANCE else "failed"
    return {"state": state, "deviation": f"{max(deviations):.1e}", "us": round(1e6 * statistics.median(times), 1)}


def deviation(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference over the largest number; whole numbers and infinities have to be equal."""
    if found.shape != wanted.shape:
        return float("inf")
    if wanted.dtype.kind in "iub":
        return 0.0 if np.array_equal(found, wanted) else float("inf")
    finite = np.isfinite(wanted)
    if not np.array_equal(found[~finite], wanted[~finite]):
        return float("inf")
    gap = np.abs(found[finite].astype(np.float64) - wanted[finite]).max(initial=0)
    return float(gap / max(1e-30, np.abs(wanted[finite]).max(initial=0)))
