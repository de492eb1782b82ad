"""Draw what CoLD adds to greedy: python tools/study_picture.py OUT.png --panel TITLE 100=A.json 5000=B.json --panel ...

The files are what `mindcold tune --json` prints. A panel shows the difference of each beta to greedy for every run, and
for every alpha where several were tried, on the half of the items that settings were chosen on, with 95 % intervals.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

matplotlib.use("Agg")

COLORS = {0.25: "C0", 0.5: "C1", 1.0: "C2", 2.0: "C3"}
"""Beta to colour, the same in all panels."""


def draw(output: Path, panels: Sequence[tuple[str, dict[str, dict]]]) -> None:
    """A panel per title, two in a row, with the runs beside each other."""
    rows = (len(panels) + 1) // 2
    figure, grid = pyplot.subplots(
        rows, 2, figsize=(9.6, 2.9 * rows), dpi=100, layout="constrained", squeeze=False, sharey=True
    )
    for axes, (title, runs) in zip(grid.flat, panels, strict=False):
        panel(axes, title, runs)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    found: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found.update(zip(labels, handles, strict=True))
    figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(output)
    pyplot.close(figure)


def panel(axes: Axes, title: str, runs: dict[str, dict]) -> None:
    """Differences to greedy in points; below each run what greedy reaches."""
    ticks: list[str] = []
    for name, found in runs.items():
        alphas = sorted({row["alpha"] for row in found["grid"]})
        for alpha in alphas:
            rows = [row for row in found["grid"] if row["alpha"] == alpha]
            for j, row in enumerate(rows):
                value, low, high = (100 * row["difference"][key] for key in ("value", "low", "high"))
                place = len(ticks) + 0.16 * (j - (len(rows) - 1) / 2)
                errors = [[value - low], [high - value]]
                color, label = COLORS.get(row["beta"], "0.4"), f"beta {row['beta']:g}"
                axes.errorbar(place, value, errors, fmt="o", color=color, capsize=2, markersize=4, label=label)
            greedy = f"greedy {100 * found['greedy']['value']:.0f} %"
            ticks.append(f"{name}\n{greedy}" if len(alphas) == 1 else f"{name}\nalpha {alpha:g}")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xticks(range(len(ticks)), ticks, fontsize="small")
    axes.set_xlim(-0.5, len(ticks) - 0.5)
    axes.set_title(title, fontsize="medium")
    axes.set_ylabel("CoLD - greedy (points)")


def _panel(words: list[str]) -> tuple[str, dict[str, dict]]:
    title, *runs = words
    pairs = [item.rpartition("=") for item in runs]
    return title, {name: json.loads(Path(file).read_text(encoding="utf-8")) for name, _, file in pairs}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--panel", nargs="+", action="append", required=True, metavar=("TITLE", "RUN=FILE"))
    arguments = parser.parse_args()
    draw(arguments.output, [_panel(words) for words in arguments.panel])
