"""Draw CoLD against greedy by training examples: python tools/study_picture.py OUT.png 100=A.json 5000=B.json ...

The files are what `mindcold tune --json` prints. Bars are the half of the items that settings were chosen on, with
95 % bootstrap intervals.
"""

import argparse
import json
from pathlib import Path

import matplotlib
from matplotlib import pyplot

matplotlib.use("Agg")


def draw(output: Path, runs: dict[str, dict]) -> None:
    """A group of bars per run: greedy first, then CoLD by rising beta."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.4), dpi=110, layout="constrained")
    for i, found in enumerate(runs.values()):
        metric = found["metric"]
        bars = [("greedy", found["greedy"])]
        bars += [(f"CoLD, beta {row['beta']:g}", row[metric]) for row in found["grid"]]
        for j, (label, estimate) in enumerate(bars):
            value = 100 * estimate["value"]
            errors = [[value - 100 * estimate["low"]], [100 * estimate["high"] - value]]
            color = "0.4" if j == 0 else f"C{j - 1}"
            axes.bar(i + 0.2 * j, value, 0.18, color=color, yerr=errors, capsize=2, label=label if i == 0 else None)
    axes.set_xticks([i + 0.3 for i in range(len(runs))], list(runs))
    axes.set(xlabel="training pairs", ylabel="all words there (%)", ylim=(0, None))
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(output)
    pyplot.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("runs", nargs="+", metavar="PAIRS=FILE")
    arguments = parser.parse_args()
    pairs = [item.partition("=") for item in arguments.runs]
    draw(arguments.output, {name: json.loads(Path(file).read_text(encoding="utf-8")) for name, _, file in pairs})
