"""Spec-Bench (Xia et al. 2024): questions in six groups, for the speed of drafts."""

from pathlib import Path

from mindcold.tasks.lines import json_lines
from mindcold.tasks.task import Item, Task

MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""Categories of MT-Bench, one group in Spec-Bench."""


def read(path: Path) -> list[Item]:
    """The first turn of every line {"category", "turns"}."""
    items = []
    for line in json_lines(path):
        category = line.text("category")
        items.append(Item(line.strings("turns")[0], group="mt_bench" if category in MT_BENCH else category))
    return items


def score(item: Item, text: str) -> dict[str, float]:
    """Nothing: the texts are not judged."""
    return {}


TASK = Task("spec-bench", "questions in six groups: tokens per pass and time, no score", read, score, 128)
