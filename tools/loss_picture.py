"""Draw the loss of training runs, loss.csv and loss.png beside a model: python tools/loss_picture.py FOLDER LOG ..."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot

matplotlib.use("Agg")


def draw(folder: Path, logs: Sequence[Path]) -> None:
    """Runs one after the other; nothing where there is no log. Logs are what `mindcold train` keeps in its run/."""
    rows = [row for log in logs if log.is_file() for row in csv.DictReader(log.open(encoding="utf-8"))]
    if not rows:
        return
    with (folder / "loss.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss", "learning_rate"])
        writer.writerows([i, row["loss"], row["learning_rate"]] for i, row in enumerate(rows, 1))
    losses = np.array([float(row["loss"]) for row in rows])
    width = max(1, len(losses) // 50)
    smooth = np.convolve(losses, np.ones(width) / width, "valid")
    figure, axes = pyplot.subplots(figsize=(6, 3.2), dpi=110, layout="constrained")
    axes.plot(np.arange(1, len(losses) + 1), losses, color="0.8", linewidth=0.8, label="each step")
    axes.plot(np.arange(width, len(losses) + 1), smooth, color="C0", label=f"mean of {width} steps")
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=folder.name, ylim=(0, None))
    axes.legend()
    figure.savefig(folder / "loss.png")
    pyplot.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("logs", type=Path, nargs="+")
    arguments = parser.parse_args()
    draw(arguments.folder, arguments.logs)
