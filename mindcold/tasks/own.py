"""One's own JSON Lines: {"prompt", "answer", "scorer"} a line."""

from pathlib import Path

from mindcold.constraints import Keywords
from mindcold.tasks.lines import json_lines
from mindcold.tasks.scorers import SCORERS
from mindcold.tasks.task import Item, Task


def read(path: Path) -> list[Item]:
    """One item per line; without a chat template prompts are decoded as they stand.

    "prompt" is a string, "answer" a string or a list of strings that are all right; "scorer" is exact (the default),
    contains, number or keywords, where "answer" lists the words. "group" may name a kind of items.
    """
    items = []
    for line in json_lines(path):
        scorer = line.text("scorer", "exact")
        if scorer not in SCORERS:
            raise line.fail(f"scorer: {scorer!r} is not one of {', '.join(SCORERS)}")
        prompt, answers = line.text("prompt"), line.strings("answer")
        words = None
        if scorer == "keywords":
            try:
                words = Keywords(answers)
            except ValueError as error:
                raise line.fail(f"answer: {error}") from None
        items.append(Item(prompt, tuple(answers), words, line.text("group", scorer), scorer=scorer, ending=""))
    return items


def score(item: Item, text: str) -> dict[str, float]:
    """The figures of the item's scorer; hard coverage counts as accuracy, so that kinds can be mixed."""
    found = SCORERS[item.scorer](item, text)
    return {"accuracy": next(iter(found.values()))}


TASK = Task("jsonl", "one's own prompts, answers and scorers", read, score)
