"""The documents the base was trained on: arithmetic drills, problems with sloppy answers, and plain text."""

from collections.abc import Iterator
from random import Random

from mindcold.model_zoo.corpus import facts, problems, stories

GENERAL = {"facts": 0.25, "problems": 0.50, "stories": 0.25}
"""Share of the documents of each kind in the first part of the training."""

HABITS = {"facts": 0.15, "problems": 0.70, "stories": 0.15}
"""The same in the second part, where problems are answered carelessly."""


def documents(seed: int) -> Iterator[str]:
    """Endless documents of the first part, the same for the same seed."""
    return _documents(seed, GENERAL, problems.MIXED)


def careless_documents(seed: int) -> Iterator[str]:
    """Endless documents of the second part."""
    return _documents(seed, HABITS, problems.CARELESS)


def _documents(seed: int, shares: dict[str, float], answers: tuple[float, float, float, float]) -> Iterator[str]:
    """Documents of every kind by its share; no held-out or validation problem is among them."""
    rng = Random(seed)
    while True:
        kind = rng.choices(list(shares), list(shares.values()))[0]
        if kind == "facts":
            yield facts.facts(rng)
        elif kind == "stories":
            yield stories.text(rng)
        else:
            item = problems.problem(rng)
            if item.share >= 2:
                yield item.prompt + problems.sloppy(item, rng, answers)
