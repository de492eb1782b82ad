"""Plain sentences and short stories: the ordinary language of the base."""

from random import Random

from mindcold.model_zoo.corpus.words import (
    ADJECTIVES,
    ANIMALS,
    FOODS,
    ITEMS,
    MOVES_PAST,
    NAMES,
    PEOPLE,
    PLACES,
    THINGS,
    TIMES,
    VERBS_PAST,
    WEATHER,
)


def _noun(rng: Random) -> str:
    """The old farmer, the cat, a red box ..."""
    kind = rng.random()
    noun = rng.choice(PEOPLE if kind < 0.4 else ANIMALS if kind < 0.7 else THINGS)
    return f"the {rng.choice(ADJECTIVES)} {noun}" if rng.random() < 0.5 else f"the {noun}"


def _subject(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(NAMES)
    noun = rng.choice(PEOPLE + ANIMALS)
    return f"the {rng.choice(ADJECTIVES)} {noun}" if rng.random() < 0.5 else f"the {noun}"


def _place(rng: Random) -> str:
    return f"{rng.choice(('in', 'near', 'behind', 'at', 'from'))} the {rng.choice(PLACES)}"


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def sentence(rng: Random) -> str:
    """One plain sentence in the past tense."""
    subject, kind = _subject(rng), rng.randrange(8)
    if kind == 0:
        text = f"{subject} {rng.choice(VERBS_PAST)} {_noun(rng)}"
    elif kind == 1:
        text = f"{subject} {rng.choice(MOVES_PAST)} to the {rng.choice(PLACES)}"
    elif kind == 2:
        text = f"{subject} {rng.choice(VERBS_PAST)} {_noun(rng)} {_place(rng)}"
    elif kind == 3:
        text = f"{subject} was {rng.choice(ADJECTIVES)} and {rng.choice(ADJECTIVES)}"
    elif kind == 4:
        text = f"{subject} ate {rng.choice(FOODS)} with {rng.choice(FOODS)}"
    elif kind == 5:
        text = f"{rng.choice(TIMES)} {subject} {rng.choice(MOVES_PAST)} {_place(rng)}"
    elif kind == 6:
        text = f"{subject} wanted {rng.choice(list(ITEMS.values()))} and {rng.choice(FOODS)}"
    else:
        text = f"{subject} {rng.choice(VERBS_PAST)} {_noun(rng)} because it was {rng.choice(ADJECTIVES)}"
    return _upper(text) + "."


def story(rng: Random) -> str:
    """A few sentences about one person or animal."""
    who = rng.choice(NAMES) if rng.random() < 0.6 else f"the {rng.choice(ADJECTIVES)} {rng.choice(ANIMALS)}"
    lines = [
        f"{rng.choice(WEATHER)}."
        if rng.random() < 0.4
        else f"{rng.choice(TIMES)} {who} went to the {rng.choice(PLACES)}."
    ]
    for _ in range(rng.randint(2, 4)):
        verb = rng.choice(VERBS_PAST)
        lines.append(rng.choice([sentence(rng), _upper(f"{who} {verb} {_noun(rng)} {_place(rng)}.")]))
    lines.append(_upper(f"{who} was {rng.choice(ADJECTIVES)}."))
    return " ".join(lines)


def dialogue(rng: Random) -> str:
    """Two people and a question."""
    first, second = rng.sample(NAMES, 2)
    thing, place = rng.choice(THINGS), rng.choice(PLACES)
    return (
        f'"Where is the {thing}?" asked {first}. "It is in the {place}," said {second}. '
        f"{first} {rng.choice(MOVES_PAST)} to the {place} and {rng.choice(VERBS_PAST)} the {thing}."
    )


def copy(rng: Random) -> str:
    """A sentence and its repetition, or a list and its beginning: text that can be copied."""
    if rng.random() < 0.5:
        text = sentence(rng)
        return f"Repeat: {text} Copy: {text}"
    words = rng.sample(FOODS + tuple(ITEMS), 4)
    return f"List: {', '.join(words)}. First: {words[0]}. Last: {words[-1]}. Again: {', '.join(words)}."


def text(rng: Random) -> str:
    """One document."""
    return rng.choices((story, dialogue, copy, sentence), (5, 2, 2, 1))[0](rng)
