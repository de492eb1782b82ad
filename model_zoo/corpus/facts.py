"""Drill lines of right arithmetic in the number range of the problems."""

from random import Random

from mindcold.model_zoo.corpus.problems import LARGEST, apply, equation


def fact(rng: Random) -> str:
    """One right equation."""
    while True:
        operation = rng.choice("++--*")
        if operation == "*":
            left, right = rng.randint(2, 9), rng.randint(2, 9)
        else:
            left, right = rng.randint(2, 2 * LARGEST), rng.randint(2, LARGEST)
        result = apply(operation, left, right)
        if 0 <= result <= 99:
            return equation(operation, left, right, result)


def facts(rng: Random) -> str:
    """A line of right equations."""
    return " ".join(fact(rng) for _ in range(rng.randint(4, 8)))
