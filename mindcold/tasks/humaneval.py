"""HumanEval (Chen et al. 2021): functions to complete, for speed alone; nothing that is written is executed."""

from pathlib import Path

from mindcold.tasks.lines import json_lines
from mindcold.tasks.spec_bench import score
from mindcold.tasks.task import Item, Task


def read(path: Path) -> list[Item]:
    """One item per line {"prompt"}: the head of a Python function."""
    return [Item(line.text("prompt"), key=line.text("task_id", line.text("prompt"))) for line in json_lines(path)]


TASK = Task("humaneval", "Python functions: tokens per pass and time, no score", read, score, 128)
