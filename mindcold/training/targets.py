"""What is to be learned at each place: the token that follows, or what a teacher held likely there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindcold import values
from mindcold.errors import TrainingError, shown

IGNORED = -100
"""Label of positions that do not count in the loss."""

MOST = 20
"""Tokens a teacher may hold likely at a place: as many as a request gives (`top_logprobs`)."""

Place = list[tuple[int, float]]
"""Token ids with their natural log-probabilities."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Of each place, tokens and what part of the place is theirs."""

    tokens: np.ndarray
    """int32 [n, K]."""
    shares: np.ndarray
    """float32 [n, K]: they sum to 1, or are 0 where a place does not count; 0 where a place has fewer tokens."""

    @classmethod
    def of_labels(cls, labels: np.ndarray) -> "Targets":
        """A token each: labels int32 [n], IGNORED where none counts."""
        counts = labels != IGNORED
        return cls(np.where(counts, labels, 0).astype(np.int32)[:, None], counts.astype(np.float32)[:, None])

    @classmethod
    def of_places(cls, places: Sequence[Place]) -> "Targets":
        """What a teacher held likely, by its probabilities among these tokens; nothing where a place is empty."""
        found = cls.empty(len(places), max(map(len, places), default=1))
        for i, place in enumerate(places):
            if place:
                ids, logprobs = zip(*place, strict=True)
                shares = np.exp(np.array(logprobs) - max(logprobs))
                found.tokens[i, : len(place)], found.shares[i, : len(place)] = ids, shares / shares.sum()
        return found

    @classmethod
    def empty(cls, count: int, width: int) -> "Targets":
        """Places that do not count."""
        return cls(np.zeros((count, width), np.int32), np.zeros((count, width), np.float32))

    @classmethod
    def joined(cls, parts: Sequence["Targets"]) -> "Targets":
        """One after the other."""
        found = cls.empty(sum(len(part.tokens) for part in parts), max(part.width for part in parts))
        first = 0
        for part in parts:
            found.put(slice(first, first + len(part.tokens)), part)
            first += len(part.tokens)
        return found

    @property
    def width(self) -> int:
        """K."""
        return self.tokens.shape[1]

    def put(self, places: Any, part: "Targets") -> None:
        """Write others, which are not wider, to some places."""
        self.tokens[places, : part.width], self.shares[places, : part.width] = part.tokens, part.shares

    def __getitem__(self, places: Any) -> "Targets":
        """Some of them."""
        return Targets(self.tokens[places], self.shares[places])


def read_places(value: Any, count: int) -> list[Place]:
    """The `top_logprobs` of a line of data, of `count` places; TrainingError says what is wrong with them."""
    if not isinstance(value, list) or len(value) != count:
        found = f"a list of {len(value)}" if isinstance(value, list) else shown(value)
        raise TrainingError(
            f"top_logprobs: a list of {count} places is expected, one for each token of the completion and its end, "
            f"found {found}"
        )
    return [_place(item, number) for number, item in enumerate(value, 1)]


def _place(value: Any, number: int) -> Place:
    """One place: from one to MOST pairs of a token id, each once, and its log-probability."""
    pairs = [_pair(item) for item in value] if isinstance(value, list) else []
    found = [pair for pair in pairs if pair]
    if not 1 <= len(found) <= MOST or len({token for token, _ in found}) < len(pairs):
        raise TrainingError(
            f"top_logprobs: place {number}: 1 to {MOST} pairs of a token id, each once, and its log-probability "
            f"(0 or less) are expected, found {shown(value)}"
        )
    return found


def _pair(value: Any) -> tuple[int, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    token, logprob = values.integer(value[0]), values.number(value[1])
    if token is None or logprob is None or not 0 <= token < 2**31 or logprob > 0:
        return None
    return token, logprob
