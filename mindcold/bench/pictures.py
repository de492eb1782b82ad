"""Pictures of measurements, by matplotlib."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from mindcold.bench.report import bound
from mindcold.errors import RequestError


def require_matplotlib() -> None:
    """RequestError where pictures cannot be drawn, to be said before anything is measured."""
    try:
        import matplotlib
    except ImportError:
        raise RequestError("--picture: needs matplotlib; pip install matplotlib") from None
    matplotlib.use("Agg")


def steps(times: dict[str, list[float]], title: str, path: Path) -> None:
    """Step time against rows for each dtype, with its bound: reading the weights, or multiplying every row by them."""
    from matplotlib import pyplot

    middle = {name: statistics.median(values) for name, values in times.items()}
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), dpi=110, layout="constrained")
    series: dict[str, list[tuple[int, float]]] = {}
    for name, value in middle.items():
        kind, _, rest = name.partition(" step ")
        if rest:
            series.setdefault(kind, []).append((int(rest.split()[0]), value))
    for kind, points in series.items():
        (line,) = axes.plot(*zip(*sorted(points), strict=True), marker="o", label=kind)
        if f"{kind} read" in middle:
            rows = range(1, max(count for count, _ in points) + 1)
            least = [bound(middle[f"{kind} read"], middle[f"{kind} multiply"], count) for count in rows]
            axes.plot(rows, least, color=line.get_color(), linestyle=":", linewidth=1)
    axes.plot([], [], color="gray", linestyle=":", label="bound: reading the weights, or multiplying")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=0)
    axes.set(xlabel="rows in the step", ylabel="milliseconds per step", title=title)
    _save(figure, [axes], path)


def drafts(sizes: dict[str, dict[int, float]], curves: dict[str, list[float]], path: Path) -> None:
    """Speed-up against tree size, and tokens per pass against prompts decoded."""
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.8), dpi=110, layout="constrained")
    for name, points in sizes.items():
        left.plot(list(points), list(points.values()), marker="o", label=name)
    left.axhline(1.0, color="0.6", linewidth=1)
    left.set(xlabel="nodes in the draft tree", ylabel="speed-up over the same without drafts", title="warmed up")
    for name, values in curves.items():
        width = max(1, min(25, len(values) // 4))
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        right.plot(np.arange(width, len(values) + 1), smooth, label=name)
    right.set(xlabel="prompts decoded, from a cold start", ylabel="tokens per pass (moving mean)", title="adaptation")
    _save(figure, [left, right], path)


def satisfaction(tables: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Mean reward against time per text, one panel a task."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(tables), figsize=(5.5 * len(tables), 4.2), dpi=110, layout="constrained")
    for axes, (task, rows) in zip(np.atleast_1d(panels), tables.items(), strict=True):
        for row, marker in zip(rows, "osP*XD^v<>ph8dH12+x", strict=False):
            axes.plot(row["ms per text"], row["mean reward"], marker, label=row["method"], markersize=7)
        axes.set(xscale="log", xlabel="milliseconds per text", ylabel="mean reward", title=task)
    _save(figure, list(np.atleast_1d(panels)), path)


def _save(figure: Any, panels: list[Any], path: Path) -> None:
    from matplotlib import pyplot

    for axes in panels:
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"partial-{path.name}")
    figure.savefig(unfinished, format="png")
    unfinished.replace(path)
    pyplot.close(figure)
