"""Banking77 (Casanueva et al. 2020): the intent of a message to a bank, in words."""

from pathlib import Path

from mindcold.tasks.lines import csv_lines
from mindcold.tasks.scorers import exact
from mindcold.tasks.task import Item, Task


def read(path: Path) -> list[Item]:
    """One item per row `text,category`; the answer is the category with spaces for underscores."""
    return [
        Item(
            f"Name the intent of this message to a bank.\n{line.text('text').strip()}",
            (line.text("category").replace("_", " ").strip(),),
        )
        for line in csv_lines(path, ("text", "category"))
    ]


TASK = Task("banking77", "intents of messages to a bank: exact match", read, exact, max_new_tokens=16)
