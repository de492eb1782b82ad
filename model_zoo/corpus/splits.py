"""Splits of generated items: training, validation and held out, by a hash of what an item is about."""

import hashlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    """What is split."""

    @property
    def share(self) -> int:
        """0 (held out), 1 (validation) or 2..9 (training), see `share_of`."""
        ...


T = TypeVar("T", bound=Item)


def hashed(text: str) -> int:
    """A number from 0 to 255 that goes with a text."""
    return hashlib.sha256(text.encode()).digest()[0]


def share_of(text: str) -> int:
    """The share, 0..9, of an item by what must not occur in two splits."""
    return hashed(text) % 10


class Splits(Generic[T]):
    """Endless items of each split, the same for the same seed."""

    def __init__(self, make: Callable[[Random], T]):
        """`make` gives one item."""
        self._make = make

    def training(self, seed: int) -> Iterator[T]:
        """Items to train on."""
        return self._of(seed, range(2, 10))

    def validation(self, seed: int) -> Iterator[T]:
        """Items for choosing settings."""
        return self._of(seed + 1_000_000, range(1, 2))

    def held_out(self, seed: int) -> Iterator[T]:
        """Items that nothing was trained or chosen on."""
        return self._of(seed + 2_000_000, range(1))

    def _of(self, seed: int, shares: range) -> Iterator[T]:
        rng = Random(seed)
        while True:
            found = self._make(rng)
            if found.share in shares:
                yield found
