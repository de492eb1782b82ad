"""Prompts of requests that have ended: later ones that begin alike need not compute the same keys and values again."""

from collections.abc import Sequence as Items
from dataclasses import dataclass

from mindcold.engine import LOCK, Engine, Sequence

MIN_KEPT = 16
"""Tokens whose keys and values are worth a copy: a block of vLLM's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptPrompt:
    """The beginning of a prompt, and the sequence that holds its keys and values."""

    ids: list[int]
    sequence: Sequence

    @property
    def slots(self) -> int:
        """KV slots."""
        return sum(segment.size for segment in self.sequence.streams)


class KeptPrompts:
    """Keys and values of prompts, from one call to the next; those used longest ago are given up first.

    What a request takes over is copied, so that nothing here is held by those that run.
    """

    def __init__(self, slots: int):
        """At most so many KV slots of each engine; 0 keeps nothing."""
        self.slots = slots
        self._kept: list[KeptPrompt] = []

    def begin(self, sequence: Sequence, ids: Items[int]) -> None:
        """Let an empty sequence start with the most of these tokens that is kept, all but the last at most.

        Whoever calls this or `take` holds LOCK.
        """
        limit = min(len(ids) - 1, sequence.streams[0].size)
        lengths = [min(limit, agreement(item.ids, ids)) for item in self._like(sequence)]
        best = max(lengths, default=0)
        if best < MIN_KEPT or sequence.length:
            return
        found = self._like(sequence)[lengths.index(best)]
        sequence.copy_beginning(found.sequence, best)
        self._kept.remove(found)
        self._kept.append(found)

    def take(self, sequence: Sequence, ids: Items[int]) -> None:
        """Keep what a sequence holds of these tokens, which it begins with, or give it back."""
        streams, length = sequence.streams, min(sequence.length, len(ids))
        length = min(length, self.slots // len(streams))
        alone = sequence.engine.branches and all(segment.parent is None for segment in streams)
        alike = self._like(sequence)
        if length < MIN_KEPT or not alone or any(agreement(item.ids, ids) >= length for item in alike):
            sequence.close()
            return
        sequence.shrink(length)
        for item in alike:
            if agreement(item.ids, ids) == len(item.ids):  # the new one begins with it
                self._give_up(item)
        self._kept.append(KeptPrompt(list(ids[:length]), sequence))
        while sum(item.slots for item in self._of(sequence.engine)) > self.slots:
            self._give_up(self._of(sequence.engine)[0])

    def clear(self) -> bool:
        """Give everything up; whether there was anything."""
        with LOCK:
            kept, self._kept = self._kept, []
            for item in kept:
                item.sequence.close()
        return bool(kept)

    def _like(self, sequence: Sequence) -> list[KeptPrompt]:
        """Those whose keys and values are of the same engine and adapters, the one used last at the end."""
        adapters = [segment.adapter for segment in sequence.streams]
        return [
            item
            for item in self._of(sequence.engine)
            if [segment.adapter for segment in item.sequence.streams] == adapters
        ]

    def _of(self, engine: Engine) -> list[KeptPrompt]:
        return [item for item in self._kept if item.sequence.engine is engine]

    def _give_up(self, item: KeptPrompt) -> None:
        self._kept.remove(item)
        item.sequence.close()


def agreement(mine: Items[int], other: Items[int]) -> int:
    """Tokens two texts have in common at their beginning."""
    low, high = 0, min(len(mine), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if mine[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
