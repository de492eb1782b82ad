"""What a task is: items read from a public file, and a score for each text written for one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindcold.constraints import Constraint
from mindcold.errors import MindcoldError

SPLITS = ("all", "train", "validation")
"""Parts of a file: everything, or nine tenths and one tenth that share no item."""


class TaskError(MindcoldError):
    """A data file of a task cannot be read; the message names the file, the line and the field."""


@dataclass(frozen=True, slots=True)
class Item:
    """One example of a task."""

    prompt: str
    """The user's message, or a plain prompt for a model without a chat template."""
    answers: tuple[str, ...] = ()
    """Right answers or references; empty where a text is not judged."""
    constraint: Constraint | None = None
    """What searching methods should satisfy."""
    group: str = ""
    """Kind of item, such as the category of a question."""
    key: str = ""
    """What tells items apart when a file is split; the prompt where it is empty."""
    scorer: str = ""
    """Name of the item's own scorer, for tasks that have several."""
    ending: str = "\n"
    """What follows the prompt where it is not put through a chat template."""

    def message(self, chat: bool) -> str | list[dict[str, str]]:
        """The prompt as `generate` takes it: a chat of one message, or text with its ending."""
        return [{"role": "user", "content": self.prompt}] if chat else self.prompt + self.ending


@dataclass(frozen=True, slots=True)
class Task:
    """A public format: its reader and its scorer."""

    name: str
    summary: str
    read: Callable[[Path], list[Item]]
    """All items of a file in its order; TaskError names file, line and field."""
    score: Callable[[Item, str], dict[str, float]]
    """Figures in [0, 1] of a text written for an item, the main one first; empty for a task of speed alone."""
    max_new_tokens: int = 64
    """Token limit where none is given."""


def read_items(
    task: Task,
    path: Path,
    *,
    limit: int | None = None,
    split: str = "all",
    groups: Sequence[str] = (),
    seed: int = 0,
) -> list[Item]:
    """Items of a file in an order that depends on the seed alone, `limit` of each group asked for or of all.

    The split of an item depends on its key alone, so that the same words or questions are never in both parts.
    """
    if split not in SPLITS:
        raise TaskError(f"split: {split!r} is not one of {', '.join(SPLITS)}")
    items = [item for item in task.read(path) if split in ("all", split_of(item))]
    known = sorted({item.group for item in items})
    for group in groups:
        if group not in known:
            raise TaskError(f"{path}: group {group!r} is not one of {', '.join(known)}")
    if groups:
        items = [item for item in items if item.group in groups]
    if not items:
        raise TaskError(f"{path}: no items in the split {split!r}")
    order = np.random.default_rng(seed).permutation(len(items))
    return [items[i] for i in order[:limit]]


def split_of(item: Item) -> str:
    """ "train" for nine items of ten, else "validation"."""
    digest = hashlib.sha256((item.key or item.prompt).encode()).digest()
    return "validation" if digest[0] % 10 == 0 else "train"
