"""Draw the loss of training runs, loss.csv and loss.png beside a model: python tools/loss_picture.py FOLDER LOG ..."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from mindcold.training import loss_log


def draw(folder: Path, logs: Sequence[Path]) -> None:
    """Runs one after the other; nothing where there is no log. Logs are what `mindcold train` keeps in its run/."""
    steps = [record for log in logs for record in loss_log.read(log) if "loss" in record]
    if not steps:
        return
    with (folder / "loss.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss", "learning_rate"])
        rows = ((f"{record['loss']:.5f}", f"{record['learning_rate']:.3e}") for record in steps)
        writer.writerows([i, *row] for i, row in enumerate(rows, 1))
    loss_log.draw(folder / "loss.png", steps, folder.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("logs", type=Path, nargs="+")
    arguments = parser.parse_args()
    draw(arguments.folder, arguments.logs)
