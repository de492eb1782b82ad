"""Keyword-to-sentence: some words, and a sentence or two with all of them."""

import hashlib
from dataclasses import dataclass
from random import Random

from mindcold.model_zoo.corpus.splits import Splits, share_of
from mindcold.model_zoo.corpus.words import (
    ADJECTIVES,
    ANIMALS,
    FOODS,
    ITEMS,
    MOVES_PAST,
    PEOPLE,
    PLACES,
    THINGS,
    VERBS_PAST,
)

# {w} who, {a} adjective, {f} food or items, {t} thing, {p} place; {v} verb, {m} move, {n} preposition. Every word but
# verbs and prepositions is a keyword, in the order of the text; the thing has its verb, who its move and the place its
# preposition.
TEMPLATES = (
    "The {a} {w} ate {f} {n} the {p}.",
    "The {w} {v} the {a} {t} {n} the {p}.",
    "The {a} {w} {m} to the {p} with the {t}.",
    "The {w} wanted {f} and {v} the {a} {t}.",
    "The {w} {m} to the {p} and {v} the {t}.",
    "The {a} {w} {m} to the {p}. The {w} {v} {f} and the {t}.",
)


@dataclass(frozen=True, slots=True)
class Task:
    """Keywords in their basic form, and text that has them all, some of them inflected."""

    keywords: tuple[str, ...]
    solution: str

    @property
    def prompt(self) -> str:
        return f"Words: {', '.join(self.keywords)}. Sentence:"

    @property
    def forms(self) -> tuple[str, ...]:
        """The keywords with their plurals: what counts as having them."""
        return tuple(f"{word}|{ITEMS[word]}" if word in ITEMS else word for word in self.keywords)

    @property
    def share(self) -> int:
        """0 (held out), 1 (validation) or 2..9 (training), by a hash of the set of keywords."""
        return share_of(" ".join(sorted(self.keywords)))


def task(rng: Random) -> Task:
    """One task of three to five keywords."""
    item, food = rng.choice(list(ITEMS)), rng.choice(FOODS)
    eaten = (item, ITEMS[item]) if rng.random() < 0.5 else (food, food)
    words = {"w": rng.choice(PEOPLE + ANIMALS), "a": rng.choice(ADJECTIVES), "f": eaten[1], "t": rng.choice(THINGS)}
    words["p"] = rng.choice(PLACES)
    words |= {"v": _own(words["t"], VERBS_PAST[:24]), "m": _own(words["w"], MOVES_PAST[:12])}
    words["n"] = _own(words["p"], ("in", "near", "behind", "at"))
    template = rng.choice(TEMPLATES)
    roles = sorted(
        (role for role in "waftp" if f"{{{role}}}" in template), key=lambda role: template.index(f"{{{role}}}")
    )
    basic = words | {"f": eaten[0]}
    return Task(tuple(basic[role] for role in roles), " " + template.format(**words))


def _own(word: str, choices: tuple[str, ...]) -> str:
    """The one of some words that goes with a word."""
    return choices[hashlib.sha256(word.encode()).digest()[1] % len(choices)]


def _distinct(rng: Random) -> Task:
    """The next task whose keywords differ."""
    while True:
        found = task(rng)
        if len(set(found.keywords)) == len(found.keywords):
            return found


_SPLITS = Splits(_distinct)
training, validation, held_out = _SPLITS.training, _SPLITS.validation, _SPLITS.held_out
