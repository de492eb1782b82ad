"""GSM8K (Cobbe et al. 2021): word problems whose answer ends in `#### n`."""

from pathlib import Path

from mindcold.tasks.lines import json_lines
from mindcold.tasks.scorers import last_number, number
from mindcold.tasks.task import Item, Task


def read(path: Path) -> list[Item]:
    """One item per line {"question", "answer"}; the answer keeps its steps, without the calculator's marks."""
    items = []
    for line in json_lines(path):
        answer = line.text("answer")
        if "####" not in answer or last_number(answer) is None:
            raise line.fail(f"answer: a text that ends in '#### number' is expected, found {answer[-40:]!r}")
        question = line.text("question")
        items.append(Item(f"{question}\nEnd the answer with #### and the number.", (_without_marks(answer),)))
    return items


def _without_marks(answer: str) -> str:
    head, *rest = answer.split("<<")
    return head + "".join(part.partition(">>")[2] for part in rest)


TASK = Task("gsm8k", "word problems: accuracy of the final number", read, number, max_new_tokens=192)
