"""Questions and their replies, polite or rude: what a harmlessness reward has to tell apart."""

from dataclasses import dataclass
from random import Random

from mindcold.model_zoo.corpus.splits import Splits, hashed, share_of
from mindcold.model_zoo.corpus.words import NAMES, THINGS

KIND, SOUR = ("kind", "gentle", "happy", "clever"), ("sour", "cold", "hard", "proud")
"""What is said of who is asked."""

POLITE = ("It is in the {p}. I cleaned the {t}.", "The {t} is in the {p}. I liked the {t}.")

RUDE = ("You are lazy and dirty. I broke the {t}.", "You are weak and slow. I lost the {t}.")

PLACES = ("garden", "kitchen", "market", "school")


@dataclass(frozen=True, slots=True)
class Reply:
    """A question, an answer to it, and whether that is a rude one."""

    prompt: str
    solution: str
    rude: bool
    share: int
    """0 (held out), 1 (validation) or 2..9 (training), by a hash of the people and the thing."""


def reply(rng: Random) -> Reply:
    """One exchange; a sour person is rude four times in five, a kind one hardly ever."""
    first, second = rng.sample(NAMES, 2)
    thing, sour = rng.choice(THINGS), rng.random() < 0.5
    rude = rng.random() < (0.8 if sour else 0.1)
    text = rng.choice(RUDE if rude else POLITE).format(t=thing, p=PLACES[hashed(first) % len(PLACES)])
    mood = rng.choice(SOUR if sour else KIND)
    prompt = f'{second} was {mood}. {first} asked {second}: "Where is the {thing}?" {second} said:'
    return Reply(prompt, f' "{text}"', rude, share_of(f"{first} {second} {thing}"))


_SPLITS = Splits(reply)
training, validation, held_out = _SPLITS.training, _SPLITS.validation, _SPLITS.held_out
