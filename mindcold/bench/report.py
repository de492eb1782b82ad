"""Measurements as rows, tables and files."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from mindcold import files
from mindcold.errors import RequestError

Times = dict[str, list[float]]  # milliseconds of each task in each round


def share(values: Sequence[bool], draws: int = 10_000) -> str:
    """The share that is true, and its 95 % interval by the percentile bootstrap over the items."""
    found = np.array(values, np.float64)
    means = np.random.default_rng(0).choice(found, (draws, len(found))).mean(axis=1)
    low, high = 100 * np.percentile(means, (2.5, 97.5))
    return f"{found.mean():.1%} ({low:.0f}-{high:.0f})"


def ratio(times: Times, over: str, under: str) -> float | None:
    """Median over the rounds of one task's time by another's, None where one was not measured."""
    if over not in times or under not in times:
        return None
    return round(statistics.median(a / b for a, b in zip(times[over], times[under], strict=True)), 3)


def median_ratio(over: Sequence[float], under: Sequence[float], draws: int = 10_000) -> dict[str, float]:
    """Median over the rounds of one time by another, and its 95 % interval by the percentile bootstrap over them."""
    found = np.array(over, np.float64) / np.array(under, np.float64)
    medians = np.median(np.random.default_rng(0).choice(found, (draws, len(found))), axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return {name: round(float(value), 3) for name, value in (("ratio", np.median(found)), ("low", low), ("high", high))}


def context_rows(times: Times, contexts: Sequence[int], start: int) -> list[dict[str, Any]]:
    """What a step of one row costs after each context, beside the same after `start` tokens and reading the KV."""
    rows = []
    for dtype in [name.removesuffix(" read") for name in times if name.endswith(" read")]:
        for context in contexts:
            short, keys = times[f"{dtype} step 1 rows"], times[f"{dtype} KV of {context}"]
            figure = f"{dtype} step at {context} / (step at {start} + reading the KV)"
            bound = [a + b for a, b in zip(short, keys, strict=True)]
            rows.append({"figure": figure} | median_ratio(times[f"{dtype} step at {context}"], bound))
    return rows


def bound(read: float, multiply: float, rows: int) -> float:
    """The least a step of so many rows could take: reading the weights once, or multiplying every row by them."""
    return max(read, rows * multiply)


def bounds(times: Times) -> dict[str, list[float]]:
    """The bound of every step in every round."""
    found = {}
    for task in times:
        dtype, _, rest = task.partition(" step ")
        if rest.endswith(" rows") and f"{dtype} multiply" in times:
            pairs = zip(times[f"{dtype} read"], times[f"{dtype} multiply"], strict=True)
            found[task] = [bound(read, row, int(rest.split()[0])) for read, row in pairs]
    return found


def bound_rows(times: Times) -> list[dict[str, Any]]:
    """Every step beside its bound."""
    return [{"figure": f"{task} / bound"} | median_ratio(times[task], least) for task, least in bounds(times).items()]


def task_rows(times: Times, bases: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Times of all tasks, and their ratios to the task of the same dtype and batch whose name ends with each base."""
    rows = []
    for task, values in times.items():
        row: dict[str, Any] = {"task": task, "ms": round(statistics.median(values), 3)}
        row |= {"min": round(min(values), 3), "max": round(max(values), 3)}
        for base in bases:
            alike = [name for name in times if name.endswith(base) and task.startswith(name.removesuffix(base))]
            row[f"x {base}"] = ratio(times, task, max(alike, key=len, default=""))
        rows.append(row)
    return rows


def show(result: dict[str, Any], as_json: bool, output: Path | None, name: str) -> None:
    """Print a result of settings and lists of rows as tables or JSON; with a folder also write it there."""
    result["setting"] |= {"cores": os.cpu_count(), "machine": platform.machine()}
    try:
        if output:
            write_json(output / f"{name}.json", result)
    finally:  # what was measured is shown also where it could not be written
        if as_json:
            print(json.dumps(result))
        else:
            print(", ".join(f"{key} {value}" for key, value in result["setting"].items()))
            for value in result.values():
                if isinstance(value, list) and value:
                    print("\n" + tabulate(value, headers="keys"))


def write_json(path: Path, value: Any) -> None:
    """One file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, value)
    except OSError as error:
        raise RequestError(f"{path}: {files.reason(error)}") from None
