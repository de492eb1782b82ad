"""Measurements as tables and a picture."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindcold.errors import RequestError


def medians(times: dict[str, list[float]]) -> dict[str, float]:
    """Median of each task over the rounds."""
    return {name: statistics.median(values) for name, values in times.items()}


def ratio(times: dict[str, list[float]], over: str, under: str) -> float | None:
    """Median over the rounds of one task's time by another's, None where one was not measured."""
    if over not in times or under not in times:
        return None
    return statistics.median(a / b for a, b in zip(times[over], times[under], strict=True))


def method_rows(times: dict[str, list[float]], prefix: str) -> list[dict[str, Any]]:
    """Time per token of the methods, and their ratio to base greedy and LoRA greedy."""
    rows = []
    for method in ("base greedy", "LoRA greedy", "CoLD"):
        values = times.get(prefix + method)
        if values:
            median = statistics.median(values)
            row = {"method": prefix + method, "ms_per_token": round(median, 3)}
            row |= {"ms_min": round(min(values), 3), "ms_max": round(max(values), 3)}
            row["tokens_per_second"] = round(1e3 / median, 1)
            for other in ("base greedy", "LoRA greedy"):
                value = ratio(times, prefix + method, prefix + other)
                row[f"x {other}"] = None if value is None else round(value, 3)
            rows.append(row)
    return rows


def best(times: dict[str, list[float]], names: list[str]) -> str | None:
    """The fastest of some tasks."""
    known = [name for name in names if name in times]
    return min(known, key=lambda name: statistics.median(times[name]), default=None)


def figures(times: dict[str, list[float]], prefill: int) -> list[dict[str, Any]]:
    """The ratios that say whether one reading of the weights serves every row, as many as were measured."""
    wanted = [
        ("step, 16 rows / 1 row, bfloat16", "bfloat16 step 16 rows", "bfloat16 step 1 rows"),
        ("CoLD / base greedy, per token, bfloat16", "bfloat16 CoLD", "bfloat16 base greedy"),
        ("CoLD / LoRA greedy, per token, bfloat16", "bfloat16 CoLD", "bfloat16 LoRA greedy"),
        ("step, 1 row / reading the weights, bfloat16", "bfloat16 step 1 rows", "bfloat16 read"),
        ("step, 1 row, int8 / bfloat16", "int8 step 1 rows", "bfloat16 step 1 rows"),
        ("scoring and choice / CoLD step, bfloat16", "score", "bfloat16 CoLD"),
    ]
    for name, task, dtype in (
        ("base greedy, bfloat16: peer / ours", "base greedy", "bfloat16"),
        ("base greedy, float32: peer / ours", "base greedy", "float32"),
        ("CoLD, bfloat16: peer / ours", "CoLD", "bfloat16"),
        ("CoLD, int8: peer / ours", "CoLD", "int8"),
        (f"prefill {prefill}: peer / ours, bfloat16", f"prefill {prefill}", "bfloat16"),
    ):
        theirs = best(times, [f"peer {kind} {task}" for kind in ("float32", "bfloat16")])
        if theirs:
            wanted.append((f"{name} ({theirs.split()[1]})", theirs, f"{dtype} {task}"))
    for count in (1, 16):
        name = f"step, {count} rows: llama.cpp bfloat16 / ours"
        wanted.append((name, f"llama.cpp step {count} rows", f"bfloat16 step {count} rows"))
    rows = []
    for name, over, under in wanted:
        value = ratio(times, over, under)
        if value is not None:
            rows.append({"figure": name, "ratio": round(value, 3)})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys as aligned text."""
    lines = [list(rows[0]), *[["" if value is None else str(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def picture(times: dict[str, list[float]], title: str, path: Path) -> None:
    """Step time against rows for each dtype, with the time to read the weights once as the bound."""
    try:
        import matplotlib
    except ImportError:
        raise RequestError("--output: the picture needs matplotlib; pip install 'mindcold[plot]'") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    middle = medians(times)
    figure, axes = plt.subplots(figsize=(7.5, 4.5), dpi=130)
    series: dict[str, list[tuple[int, float]]] = {}
    for name, value in middle.items():
        kind, _, rest = name.partition(" step ")
        if rest:
            series.setdefault(kind, []).append((int(rest.split()[0]), value))
    for kind, points in series.items():
        (line,) = axes.plot(*zip(*sorted(points), strict=True), marker="o", label=f"{kind}")
        if f"{kind} read" in middle:
            axes.axhline(middle[f"{kind} read"], color=line.get_color(), linestyle=":", linewidth=1)
    axes.plot([], [], color="gray", linestyle=":", label="reading the weights once")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("rows in the step")
    axes.set_ylabel("milliseconds per step")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def is_named(case: str, names: Sequence[str]) -> bool:
    """Whether the name of a case holds one of these, whatever their capitals; any does where none is given."""
    return not names or any(name.lower() in case.lower() for name in names)
