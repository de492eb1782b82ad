"""What is decoded: held-out (or validation) tasks of the shipped corpus, or a file of one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mindcold.constraints import Constraint, Keywords
from mindcold.errors import RequestError
from mindcold.model_zoo.corpus import keywords, problems
from mindcold.text_files import parse_json, read_lines

WARM_UP = 3000
"""Training texts that fill the draft tables."""


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt, how its continuation is judged (if it is), and the continuation that is known (if one is)."""

    prompt: str
    is_right: Callable[[str], bool] | None = None
    constraint: Constraint | None = None
    completion: str = ""


def arithmetic(split: str, count: int) -> list[Item]:
    """Word problems of the shipped corpus; `split` is "training", "validation" or "held_out"."""

    def judged(item: problems.Problem) -> Item:
        return Item(item.prompt, lambda text: problems.answer_of(text) == item.answer, None, problems.solution(item))

    return [judged(item) for item in getattr(problems, split)(0, count)]


def words(split: str, count: int) -> list[Item]:
    """Sentences with given words, of the shipped corpus."""
    tasks = islice(getattr(keywords, split)(0), count)
    return [Item(task.prompt, None, Keywords(task.forms), task.solution) for task in tasks]


def read(path: Path) -> list[Item]:
    """Items of a JSONL file: {"prompt": text, "keywords": [word, ...], "completion": text} a line, prompts required."""
    found = []
    for number, line in read_lines(path, RequestError):
        if not line.strip():
            continue
        try:
            raw = parse_json(line)
            given = raw.get("keywords")
            found.append(
                Item(raw["prompt"] + "", None, Keywords(given) if given else None, raw.get("completion", "") + "")
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RequestError(f"{path}: line {number}: JSON with a text prompt is expected") from None
    if not found:
        raise RequestError(f"{path}: empty; give at least one line")
    return found
