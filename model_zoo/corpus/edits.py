"""Texts to be repeated, changed in one place, or shortened: answers that are mostly copied from the prompt."""

from dataclasses import dataclass
from random import Random

from mindcold.model_zoo.corpus.splits import Splits, share_of
from mindcold.model_zoo.corpus.stories import sentence
from mindcold.model_zoo.corpus.words import ADJECTIVES, ANIMALS, FOODS, NAMES, PEOPLE, PLACES, THINGS, VERBS_PAST

KINDS = ("repeat", "edit", "summarise", "list", "list", "list")
WORDS = (*NAMES, *THINGS, *ADJECTIVES, *VERBS_PAST, *PLACES, *ANIMALS, *FOODS, *PEOPLE)


@dataclass(frozen=True, slots=True)
class Edit:
    """A text, what is to be done with it, and the text that comes out."""

    kind: str
    prompt: str
    solution: str
    share: int
    """0 (held out), 1 (validation) or 2..9 (training), by a hash of the text."""


def edit(rng: Random) -> Edit:
    """One text of four or five sentences about somebody, or a list of words."""
    who, other = rng.sample(NAMES, 2)
    lines = [f"{who} {rng.choice(VERBS_PAST)} the {rng.choice(THINGS)} in the {rng.choice(PLACES)}."]
    lines += [sentence(rng) for _ in range(rng.randint(1, 2))]
    lines.append(f"{who} {rng.choice(VERBS_PAST)} the {rng.choice(ADJECTIVES)} {rng.choice(THINGS)}.")
    lines.append(f"{who} was {rng.choice(ADJECTIVES)} and {rng.choice(ADJECTIVES)}.")
    text, kind = " ".join(lines), rng.choice(KINDS)
    if kind == "list":  # words in no order: nothing but copying helps
        text = " ".join(rng.choices(WORDS, k=rng.randint(6, 18))) + "."
    asked, solution = {
        "list": ("Copy:", text),
        "repeat": ("Copy:", text),
        "edit": (f"{who} is now {other}. Copy:", text.replace(who, other)),
        "summarise": ("Short:", f"{lines[0]} {lines[-1]}"),
    }[kind]
    return Edit(kind, f"Text: {text} {asked}", f" {solution}", share_of(text))


_SPLITS = Splits(edit)
training, validation, held_out = _SPLITS.training, _SPLITS.validation, _SPLITS.held_out
