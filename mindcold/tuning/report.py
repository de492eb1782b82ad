"""A tuning as tables, JSON and a heat map."""

from pathlib import Path
from typing import Any

import numpy as np

from mindcold.tasks import report
from mindcold.tasks.statistics import difference, mean
from mindcold.tuning.grid import GREEDY
from mindcold.tuning.tuning import Tuning


def grid_rows(found: Tuning) -> list[dict[str, Any]]:
    """Alpha, beta, score and difference to greedy of every setting, on the items the choice was made on."""
    part, metric, rows = found.chosen_on, found.metric, []
    greedy = part.column(GREEDY.label, metric)
    for alpha in found.grid.alphas:
        for beta in found.grid.betas:
            own = part.column(found.grid.spec(alpha, beta).label, metric)
            row = {"alpha": alpha, "beta": beta, metric: mean(own, found.seed)}
            rows.append(row | {"difference": difference(own, greedy, found.seed)})
    return rows


def scores(found: Tuning) -> np.ndarray:
    """Score of every setting, float64 [alphas, betas]."""
    columns = [
        [found.chosen_on.column(found.grid.spec(alpha, beta).label, found.metric) for beta in found.grid.betas]
        for alpha in found.grid.alphas
    ]
    return np.array(columns).mean(axis=2)


def to_dict(found: Tuning) -> dict[str, Any]:
    """The figures for JSON."""
    greedy = mean(found.chosen_on.column(GREEDY.label, found.metric), found.seed)
    result: dict[str, Any] = {
        "metric": found.metric,
        "chosen_on": len(found.chosen_on.items),
        "tested_on": len(found.tested_on.items),
        "greedy": report.plain({"score": greedy})["score"],
        "grid": [report.plain(row) for row in grid_rows(found)],
        "best": found.best.label,
        "test": [report.plain(row) for row in report.rows(found.tested_on, found.seed)],
        "difference": report.plain({"gain": found.gain})["gain"],
        "wins": found.wins,
        "verdict": found.verdict,
        "precision": None,
        "drafts": [],
        "defaults": found.defaults.to_dict(),
    }
    if found.precision:
        part = found.precision
        result["precision"] = {
            "chosen_on": [report.plain(row) for row in report.rows(part.chosen_on, found.seed)],
            "chosen": part.chosen.label,
            "test": [report.plain(row) for row in report.rows(part.tested_on, found.seed)],
            "recommended": part.recommended,
        }
    if found.drafts:
        result["drafts"] = [report.plain(row) for row in report.rows(found.drafts, found.seed)]
    return result


def text(found: Tuning) -> str:
    """The figures as tables, with what each does not say."""
    from tabulate import tabulate

    metrics = found.chosen_on.metrics
    greedy = 100 * found.chosen_on.column(GREEDY.label, found.metric).mean()
    table = [[f"{alpha:g}", *(f"{100 * score:.1f}" for score in row)]
             for alpha, row in zip(found.grid.alphas, scores(found), strict=True)]  # fmt: skip
    headers = ["alpha \\ beta", *(f"{beta:g}" for beta in found.grid.betas)]
    align = ["left"] + ["right"] * len(found.grid.betas)
    count = len(found.grid.specs())
    parts = [
        f"{found.metric}, %, on the {len(found.chosen_on.items)} items settings are chosen on; greedy {greedy:.1f}",
        tabulate(table, headers=headers, disable_numparse=True, colalign=align),
        f"best: {found.best.label}; the best of {count} on the same items flatters, so it is tested on others",
        f"\non the other {len(found.tested_on.items)} items (* the difference excludes 0)",
        report.table(report.rows(found.tested_on, found.seed), metrics),
        found.verdict,
    ]
    if found.precision:
        part = found.precision
        sign = "is recommended: it is faster beyond doubt and not worse beyond doubt"
        other = "is not recommended: not faster beyond doubt, worse beyond doubt, or tested on too few items"
        parts += [
            f"\nlower precision after some tokens: {part.chosen.label} is tested, chosen on the first items",
            report.table(report.rows(part.tested_on, found.seed), metrics),
            f"{part.chosen.label} {sign if part.recommended else other}",
        ]
    if found.drafts:
        drafted = found.draft()
        rows = [row | {name: None for name in row if name in metrics or name.endswith(", difference")}
                for row in report.rows(found.drafts, found.seed)]  # fmt: skip
        parts += [
            "\ndrafts, which learn from text to text (times of this machine)",
            report.table(rows, metrics),
            f"{drafted.label} is recommended" if drafted else "no drafts are recommended: none is faster beyond doubt",
        ]
    return "\n".join(parts)


def picture(found: Tuning, title: str, path: Path) -> None:
    """A heat map of the score over alpha and beta, greedy's beside it in the same colours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    grid = 100 * scores(found)
    greedy = np.full((len(found.grid.alphas), 1), 100 * found.chosen_on.column(GREEDY.label, found.metric).mean())
    low, high = min(grid.min(), greedy.min()), max(grid.max(), greedy.max())
    width = 3.5 + 0.9 * len(found.grid.betas)
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(width, 2.2 + 0.5 * len(grid)), dpi=130, layout="constrained",
        gridspec_kw={"width_ratios": [len(found.grid.betas), 1]},
    )  # fmt: skip
    colours = {"vmin": low, "vmax": max(high, low + 1e-9), "cmap": "viridis", "aspect": "auto"}
    image = left.imshow(grid, **colours)
    right.imshow(greedy[:1], **colours)
    for axes, values in ((left, grid), (right, greedy[:1])):
        for (row, column), value in np.ndenumerate(values):
            dark = value < (low + high) / 2
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", color="white" if dark else "black")
    left.set(xlabel="beta", ylabel="alpha")
    left.set_xticks(range(len(found.grid.betas)), [f"{beta:g}" for beta in found.grid.betas])
    left.set_yticks(range(len(found.grid.alphas)), [f"{alpha:g}" for alpha in found.grid.alphas])
    right.set_xticks([0], ["greedy"])
    right.set_yticks([])
    figure.colorbar(image, ax=right, label=f"{found.metric}, %")
    figure.suptitle(f"{title}\nthe {len(found.chosen_on.items)} items settings are chosen on", fontsize=9)
    figure.savefig(path, format="png")
    pyplot.close(figure)
