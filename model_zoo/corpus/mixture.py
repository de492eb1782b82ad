"""The documents the base was trained on: arithmetic drills, problems with sloppy answers, and plain text."""

from collections.abc import Iterator
from random import Random

from mindcold.model_zoo.corpus import facts, problems, stories

SHARES = {"facts": 0.25, "problems": 0.50, "stories": 0.25}
"""Share of the documents of each kind."""


def documents(seed: int) -> Iterator[str]:
    """Endless documents, the same for the same seed; no held-out or validation problem is among them."""
    rng = Random(seed)
    while True:
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        if kind == "facts":
            yield facts.facts(rng)
        elif kind == "stories":
            yield stories.text(rng)
        else:
            item = problems.problem(rng)
            if item.share >= 2:
                yield item.prompt + problems.sloppy(item, rng)
