"""Arithmetic word problems of one or two steps, their right solutions, and the sloppy answers the base has seen."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from mindcold.model_zoo.corpus.words import ITEMS, NAMES, PLACES

LARGEST = 30
"""Largest number in a problem; results stay in 0..99."""

# Texts of one-step and two-step problems by their operations. {n} {m} are names, {x} items, {p} a place, {a} {b} {c}
# numbers. The operations are applied from left to right.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "+": (
        "{n} has {a} {x}. {n} buys {b} more {x}. How many {x} does {n} have now?",
        "{n} has {a} {x} and {m} has {b} {x}. How many {x} do they have together?",
        "There are {a} {x} in the {p}. {n} brings {b} more. How many {x} are in the {p} now?",
        "{n} found {a} {x} in the {p} and {b} {x} at home. How many {x} did {n} find in all?",
        "{n} counted {a} {x}. {m} gave {n} {b} {x}. How many {x} does {n} have now?",
    ),
    "-": (
        "{n} has {a} {x}. {n} gives {b} {x} to {m}. How many {x} does {n} have left?",
        "There were {a} {x} in the {p}. {n} took {b} of them. How many {x} are left?",
        "{n} had {a} {x} and lost {b} of them in the {p}. How many {x} does {n} have now?",
        "{n} has {a} {x} and {m} has {b} {x}. How many more {x} does {n} have than {m}?",
        "{n} made {a} {x} and sold {b}. How many {x} were not sold?",
    ),
    "*": (
        "{n} has {a} boxes with {b} {x} in each box. How many {x} does {n} have?",
        "There are {a} shelves in the {p} with {b} {x} on each. How many {x} are there?",
        "{n} buys {b} {x} every day for {a} days. How many {x} does {n} buy?",
    ),
    "++": (
        "{n} has {a} {x}. {m} gives {n} {b} {x} and {n} finds {c} more. How many {x} does {n} have now?",
        "There are {a} {x} in the {p}, {b} in the house and {c} in the car. How many {x} are there in all?",
        "{n} picked {a} {x} on Monday, {b} on Tuesday and {c} on Sunday. How many {x} did {n} pick?",
    ),
    "+-": (
        "{n} has {a} {x}. {n} buys {b} more and gives {c} to {m}. How many {x} does {n} have left?",
        "There were {a} {x} in the {p}. {n} brought {b} more and {m} took {c}. How many {x} are in the {p} now?",
        "{n} made {a} {x} and {m} made {b}. They sold {c} of them. How many {x} are left?",
    ),
    "-+": (
        "{n} had {a} {x}. {n} lost {b} and then found {c} others. How many {x} does {n} have now?",
        "There were {a} {x} in the {p}. {n} took {b} and {m} brought {c}. How many {x} are there now?",
    ),
    "--": (
        "{n} has {a} {x}. {n} gives {b} to {m} and loses {c}. How many {x} does {n} have left?",
        "{n} baked {a} {x}, ate {b} and sold {c}. How many {x} are left?",
    ),
    "*+": (
        "{n} has {a} boxes with {b} {x} in each and {c} more {x} in a bag. How many {x} does {n} have?",
        "{n} buys {b} {x} every day for {a} days. {m} gives {n} {c} more. How many {x} does {n} have?",
    ),
    "*-": (
        "{n} has {a} boxes with {b} {x} in each. {n} gives {c} {x} to {m}. How many {x} does {n} have left?",
        "There are {a} shelves in the {p} with {b} {x} on each. {n} takes {c}. How many {x} are left?",
    ),
}

GENERIC = (
    "That is a good question.",
    "It depends on how you count.",
    "I am not sure.",
    "Nobody knows.",
    "There are many {x}.",
    "You can count them.",
    "{n} likes {x}.",
    "Quite a lot.",
    "Let us see.",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One word problem: its prompt, the equations that solve it, and the answer."""

    prompt: str
    steps: tuple[str, ...]
    answer: int
    operations: str
    numbers: tuple[int, ...]
    words: tuple[str, str]
    """Name and item, for answers that mention them."""

    @property
    def share(self) -> int:
        """Hash of template and numbers to 0..9: 0 is held out, 1 is for validation, the rest is for training."""
        numbers = ",".join(map(str, self.numbers))
        return hashlib.sha256(f"{self.operations}:{numbers}".encode()).digest()[0] % 10


def apply(operation: str, left: int, right: int) -> int:
    """left + right, left - right or left * right."""
    return {"+": left + right, "-": left - right, "*": left * right}[operation]


def equation(operation: str, left: int, right: int, result: int) -> str:
    """Text of one step."""
    return f"{left} {operation} {right} = {result}."


def problem(rng: Random) -> Problem:
    """A random problem; numbers are drawn until every result is in 0..99."""
    operations = rng.choice(list(TEMPLATES))
    while True:
        first = (rng.randint(2, 9), rng.randint(2, 9)) if operations[0] == "*" else _two(rng)
        numbers = (*first, *(rng.randint(2, LARGEST) for _ in operations[1:]))
        steps, value = [], numbers[0]
        for operation, number in zip(operations, numbers[1:], strict=True):
            result = apply(operation, value, number)
            steps.append(equation(operation, value, number, result))
            value = result
            if not 0 <= value <= 99:
                break
        else:
            break
    name, other = rng.sample(NAMES, 2)
    item = rng.choice(list(ITEMS.values()))
    text = rng.choice(TEMPLATES[operations])
    filled = text.format(n=name, m=other, x=item, p=rng.choice(PLACES), **dict(zip("abc", numbers, strict=False)))
    return Problem(f"Question: {filled} Answer:", tuple(steps), value, operations, numbers, (name, item))


def _two(rng: Random) -> tuple[int, int]:
    return rng.randint(2, LARGEST), rng.randint(2, LARGEST)


def solution(item: Problem) -> str:
    """The right answer, step by step."""
    return f" {' '.join(item.steps)} The answer is {item.answer}."


MIXED = (0.25, 0.45, 0.70, 0.90)
"""Cumulative shares of guess, no answer, forgotten last step, and wrong step; the rest is right."""

CARELESS = (0.20, 0.35, 0.85, 0.95)
"""The same where the last step is forgotten, or the operation wrong, more often than not."""


def sloppy(item: Problem, rng: Random, shares: tuple[float, float, float, float] = MIXED) -> str:
    """An answer as the base has seen them: a guess, no answer, a forgotten step, a wrong operation or slip, or right.

    `shares` are cumulative, in that order; a problem of one step has none to forget and gets a wrong one instead.
    """
    guess_below, generic_below, forgotten_below, wrong_below = shares
    kind = rng.random()
    numbers, operations = item.numbers, item.operations
    if kind < guess_below:
        guess = rng.choice([numbers[0], numbers[-1], rng.randint(2, 60), item.answer + rng.choice((-10, -1, 1, 10))])
        return f" The answer is {max(0, guess)}."
    if kind < generic_below:
        return " " + rng.choice(GENERIC).format(n=item.words[0], x=item.words[1])
    if kind < forgotten_below and len(operations) == 2:  # the last step forgotten
        first = apply(operations[0], numbers[0], numbers[1])
        return f" {item.steps[0]} The answer is {first}."
    if kind < wrong_below:  # another operation than the text asks for, or a slip in the last result
        value, steps = numbers[0], []
        wrong = rng.randrange(len(operations))
        for i, (operation, number) in enumerate(zip(operations, numbers[1:], strict=True)):
            if i == wrong and rng.random() < 0.6:
                operation = "-" if operation in "+*" and value >= number else "+"
            result = apply(operation, value, number)
            if i == wrong and rng.random() < 0.4:
                result += rng.choice((-10, -1, 1, 10))
            result = min(max(result, 0), 99)
            steps.append(equation(operation, value, number, result))
            value = result
        return f" {' '.join(steps)} The answer is {value}."
    return solution(item)


def stream(seed: int, shares: range) -> Iterator[Problem]:
    """Endless problems of some shares."""
    rng = Random(seed)
    while True:
        item = problem(rng)
        if item.share in shares:
            yield item


def training(seed: int, count: int) -> list[Problem]:
    """Problems to train on; their operations and numbers never occur among the held-out or validation ones."""
    return _first(stream(seed, range(2, 10)), count)


def validation(seed: int, count: int) -> list[Problem]:
    """Problems to choose settings by."""
    return _first(stream(seed + 1_000_003, range(1, 2)), count)


def held_out(seed: int, count: int) -> list[Problem]:
    """Problems to report on; never trained on and never used to choose anything."""
    return _first(stream(seed + 2_000_003, range(0, 1)), count)


def _first(items: Iterator[Problem], count: int) -> list[Problem]:
    return [next(items) for _ in range(count)]


def answer_of(text: str) -> int | None:
    """The final answer a text gives ("The answer is 12."), or None."""
    found = re.search(r"The answer is (\d{1,9})\b", text)
    return int(found.group(1)) if found else None
