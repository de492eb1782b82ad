"""An evaluation as rows of figures, a table and a picture."""

from pathlib import Path
from typing import Any

from mindcold.errors import RequestError
from mindcold.tasks.evaluate import Evaluation
from mindcold.tasks.statistics import Estimate, difference, mean, ratio


def rows(found: Evaluation, seed: int = 0) -> list[dict[str, Any]]:
    """Figures of every method, those with an interval as Estimate; differences and ratios are to the first method."""
    first, table = next(iter(found.records)), []
    for label, records in found.records.items():
        row: dict[str, Any] = {"method": label}
        for metric in found.metrics:
            row[metric] = mean(found.column(label, metric), seed)
        for metric in found.metrics[:1]:
            own, other = found.column(label, metric), found.column(first, metric)
            row[f"{metric}, difference"] = None if label == first else difference(own, other, seed)
        seconds, tokens, passes = (found.column(label, name) for name in ("seconds", "tokens", "target_passes"))
        row["seconds"] = float(seconds.mean())
        row["x first"] = None if label == first else ratio(seconds, found.column(first, "seconds"), seed)
        row["tokens"] = float(tokens.mean())
        row["target passes"], row["draft passes"] = (
            float(passes.mean()),
            float(found.column(label, "draft_passes").mean()),
        )
        row["tokens per pass"] = ratio(tokens, passes, seed)
        drafted = found.column(label, "drafted").sum()
        row["accepted"] = float(found.column(label, "accepted").sum() / drafted) if drafted else None
        row["ms per token"] = float(1000 * seconds.sum() / tokens.sum()) if tokens.sum() else None
        row["weights, MB"], row["KV, MB"] = (
            float(found.column(label, name).max() / 1e6) for name in ("weight_bytes", "kv_bytes")
        )
        same = [a.token_ids == b.token_ids for a, b in zip(records, found.records[first], strict=True)]
        row["same text"] = None if label == first else sum(same) / len(same)
        table.append(row)
    return table


def group_rows(found: Evaluation, seed: int = 0) -> list[dict[str, Any]]:
    """The main figures of each group of items, where there are several groups."""
    groups = sorted({item.group for item in found.items})
    if len(groups) < 2:
        return []
    keep = ("method", *found.metrics[:1], "seconds", "x first", "tokens", "tokens per pass", "same text")
    table = []
    for group in groups:
        part = found.part(group)
        for row in rows(part, seed):
            table.append({"group": group, "items": len(part.items)} | {name: row[name] for name in keep})
    return table


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON: an Estimate becomes value, low and high."""
    return {
        name: {"value": item.value, "low": item.low, "high": item.high} if isinstance(item, Estimate) else item
        for name, item in row.items()
    }


DETAILS = ("accepted", "ms per token", "weights, MB", "KV, MB")
"""Figures of a comparison of all methods, which a table of few leaves to its file."""


def table(found: list[dict[str, Any]], metrics: list[str], details: bool = False) -> str:
    """Rows as aligned text: scores in per cent with their interval, a star at differences that exclude zero."""
    from tabulate import tabulate

    shown = [name for name in found[0] if details or name not in DETAILS]
    names = [name for name in shown if any(row[name] is not None for row in found)]
    cells = [[_cell(name, row[name], metrics) for name in names] for row in found]
    return tabulate(cells, headers=names, disable_numparse=True, colalign=["left"] + ["right"] * (len(names) - 1))


def _cell(name: str, value: Any, metrics: list[str]) -> str:
    if value is None:
        return ""
    metric = name.removesuffix(", difference")
    if isinstance(value, Estimate) and metric in metrics:
        sign = "+" if metric != name else ""
        star = "*" if sign and value.excludes_zero else ""
        return f"{100 * value.value:{sign}.1f}{star} ({100 * value.low:{sign}.1f} to {100 * value.high:{sign}.1f})"
    if isinstance(value, Estimate):
        return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"
    if name in ("same text", "accepted"):
        return f"{value:.0%}"
    return f"{value:.3f}" if name == "seconds" else f"{value:.1f}" if isinstance(value, float) else str(value)


def check_picture() -> None:
    """Raise RequestError where a picture cannot be drawn, before anything is measured."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise RequestError("--output: the picture needs matplotlib; pip install 'mindcold[plot]'") from None


def picture(found: list[dict[str, Any]], metrics: list[str], title: str, path: Path) -> None:
    """The main score, or tokens per pass where nothing is judged, against time per item, with intervals."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    main = metrics[0] if metrics else "tokens per pass"
    scale = 100 if metrics else 1
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), dpi=130, layout="constrained")
    for row, marker in zip(found, "osP*XD^v<>ph8d" * len(found), strict=False):
        estimate = row[main]
        bars = [[scale * (estimate.value - estimate.low)], [scale * (estimate.high - estimate.value)]]
        axes.errorbar(row["seconds"], scale * estimate.value, bars, fmt=marker, capsize=3, label=row["method"])
    axes.set(xlabel="seconds per text", ylabel=f"{main}, %" if metrics else main, title=title)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path, format="png")
    pyplot.close(figure)
