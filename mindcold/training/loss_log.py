"""The losses of a run: a JSON object a line, step after step, and a picture of them."""

import json
import os
from pathlib import Path
from typing import Any, TextIO

from mindcold import values
from mindcold.errors import TrainingError
from mindcold.files import atomic, write_text
from mindcold.training.curves import Curves

LOG, PICTURE = "loss.jsonl", "loss.png"


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a log; none of one that cannot be read."""
    try:
        return parse(path.read_bytes()) if path.is_file() else []
    except OSError:
        return []


def parse(content: bytes) -> list[dict[str, Any]]:
    """The records of the content of a log, up to one that is torn or none of ours."""
    found: list[dict[str, Any]] = []
    for line in content.split(b"\n"):
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not _is_record(item):
            break
        found.append(item)
    return found


def _is_record(item: Any) -> bool:
    """Whether it is the record of a step or of an evaluation: the number of the step, and a loss."""
    if not isinstance(item, dict) or values.integer(item.get("step")) is None:
        return False
    found = [item[name] for name in ("loss", "held_out_loss") if name in item]
    return bool(found) and all(values.number(value) is not None for value in found)


def losses(records: list[dict[str, Any]]) -> dict[int, float]:
    """Step to training loss, of the steps that are in the log."""
    return {record["step"]: record["loss"] for record in records if "loss" in record}


class LossLog:
    """A log that grows by one line a step; it begins with what the checkpoint holds that a run goes on from.

    `curves` are told the same.
    """

    def __init__(self, path: Path, before: bytes = b"", curves: Curves | None = None):
        self._path, self._curves, self.records = path, curves, parse(before)
        try:
            write_text(path, self.content)
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
        if self._curves is not None:
            self._curves.add(record)

    @property
    def content(self) -> str:
        """All of it."""
        return "".join(json.dumps(record) + "\n" for record in self.records)

    def synchronise(self) -> None:
        """Wait until it is on the disk: before the checkpoint, so that the log is never behind it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        if self._curves is not None:
            self._curves.close()


def draw(path: Path, records: list[dict[str, Any]], title: str) -> bool:
    """A PNG of the losses; False where matplotlib is not installed or there is nothing to draw."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    import numpy as np

    found = losses(records)
    if not found:
        return False
    steps, numbers = np.array(list(found)), np.array(list(found.values()))
    width = max(1, len(numbers) // 50)
    figure = Figure(figsize=(6, 3.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(steps, numbers, color="0.8", linewidth=0.8, label="each step")
    smooth = np.convolve(numbers, np.ones(width) / width, "valid")
    axes.plot(steps[width - 1 :], smooth, color="C0", label=f"mean of {width} steps")
    held_out = [(record["step"], record["held_out_loss"]) for record in records if "held_out_loss" in record]
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="C1", marker=".", label="held out")
    axes.set(xlabel="step", ylabel="loss (nats per token)", title=title, ylim=(0, None))
    axes.legend()
    with atomic(path) as partial:
        figure.savefig(partial, format="png")
    return True
