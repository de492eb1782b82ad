"""One's own prompts, without answers: what a model is to write to."""

from pathlib import Path

from mindcold.tasks.lines import json_lines, text_lines
from mindcold.tasks.spec_bench import score
from mindcold.tasks.task import Item, Task


def read(path: Path) -> list[Item]:
    """One item per line of a text file, or per {"prompt"} of a JSON Lines file; no chat template, no line break."""
    if path.suffix == ".jsonl":
        prompts = [line.text("prompt") for line in json_lines(path)]
    else:
        prompts = [line.value for line in text_lines(path)]
    return [Item(prompt, ending="") for prompt in prompts]


TASK = Task("prompts", "one's own prompts, a line each or JSONL with prompt", read, score)
