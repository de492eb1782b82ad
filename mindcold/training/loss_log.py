"""The losses of a run: a JSON object a line, step after step, and a picture of them."""

import json
import os
from pathlib import Path
from typing import Any, TextIO

from mindcold.errors import TrainingError
from mindcold.files import atomic, write_text

LOG, PICTURE = "loss.jsonl", "loss.png"


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a log, up to a torn line."""
    found: list[dict[str, Any]] = []
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            item = json.loads(line)
        except ValueError:
            break
        if not isinstance(item, dict) or not isinstance(item.get("step"), int):
            break
        found.append(item)
    return found


def losses(records: list[dict[str, Any]]) -> list[float]:
    """Training loss of every step."""
    return [record["loss"] for record in records if "loss" in record]


class LossLog:
    """A log that grows by one line a step; what is beyond the checkpoint a run goes on from is cut off."""

    def __init__(self, path: Path, step: int):
        self._path = path
        try:
            self.records = [record for record in read(path) if record["step"] <= step]
            write_text(path, "".join(json.dumps(record) + "\n" for record in self.records))
            self._file: TextIO = path.open("a", encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"{path}: {error.strerror or error}") from None

    def add(self, **record: Any) -> None:
        """One line, handed to the system at once."""
        self.records.append(record)
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise TrainingError(f"{self._path}: {error.strerror or error}; free some space and run again") from None

    def synchronise(self) -> None:
        """Wait until it is on the disk: before the checkpoint, so that the log is never behind it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def draw(path: Path, records: list[dict[str, Any]], title: str) -> bool:
    """A PNG of the losses; False where matplotlib is not installed or there is nothing to draw."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    import numpy as np

    values = np.array(losses(records))
    if not len(values):
        return False
    width = max(1, len(values) // 50)
    figure = Figure(figsize=(6, 3.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(np.arange(1, len(values) + 1), values, color="0.8", linewidth=0.8, label="each step")
    smooth = np.convolve(values, np.ones(width) / width, "valid")
    axes.plot(np.arange(width, len(values) + 1), smooth, color="C0", label=f"mean of {width} steps")
    held_out = [(record["step"], record["held_out_loss"]) for record in records if "held_out_loss" in record]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="C1", marker=".", label="held out")
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=title, ylim=(0, None))
    axes.legend()
    with atomic(path) as partial:
        figure.savefig(partial, format="png")
    return True
