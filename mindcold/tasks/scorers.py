"""Scorers: figures in [0, 1] of a text against the right answers."""

import re
from collections.abc import Callable

from mindcold.constraints import Keywords
from mindcold.tasks.task import Item

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_MARK = re.compile(r"####\s*\$?(-?\d[\d,]*(?:\.\d+)?)")


def exact(item: Item, text: str) -> dict[str, float]:
    """Whether the words of the first line are those of an answer; case, punctuation and underscores do not count."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return {"accuracy": float(any(_plain(first) == _plain(answer) for answer in item.answers))}


def contained(item: Item, text: str) -> dict[str, float]:
    """Whether the words of an answer stand in the text, one after the other."""
    padded = f" {_plain(text)} "
    return {"accuracy": float(any(f" {_plain(answer)} " in padded for answer in item.answers))}


def number(item: Item, text: str) -> dict[str, float]:
    """Whether the number after the first "####", else the last number of the text, is an answer's."""
    found = last_number(text)
    return {"accuracy": float(found is not None and any(found == last_number(answer) for answer in item.answers))}


def keywords(item: Item, text: str) -> dict[str, float]:
    """Hard coverage (every keyword is there, in any inflection) and soft coverage (the share of them)."""
    words = item.constraint if isinstance(item.constraint, Keywords) else Keywords(item.answers)
    share = words.coverage(text)
    return {"hard coverage": float(share >= 1.0), "soft coverage": share}


SCORERS: dict[str, Callable[[Item, str], dict[str, float]]] = {
    "exact": exact,
    "contains": contained,
    "number": number,
    "keywords": keywords,
}
"""Name to scorer, as an item of one's own file names it."""


def last_number(text: str) -> float | None:
    """The number after the first "####" of a text, else its last number, None where there is none."""
    marked = _MARK.search(text)
    found = marked.group(1) if marked else next(reversed(_NUMBER.findall(text)), None)
    return None if found is None else float(found.replace(",", ""))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower().replace("_", " ")))
