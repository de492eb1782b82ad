"""The table of trigram_draft: what has followed what, in NumPy and plain Python.

A table holds successors of contexts, each with a weight. Contexts are the last two tokens, the last one, and none, so
that what the trigrams do not know is taken from bigrams and unigrams; and the last eight and four, which are believed
first where they are known. The table is a fixed set of buckets of four entries of twelve successors: its memory is set
once and never grows. The rules are those of ADED (arXiv 2407.12021: the table, its adaptive update and the twelve
successors kept), with back-off, long contexts and decay added.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

WAYS = 4
"""Entries of a bucket."""

SUCCESSORS = 12
"""Successors of an entry."""

NONE = -1
"""No token: pads contexts and successors."""

REACH = 8
"""Tokens of the longest context, and how many are compared at most to find a place earlier in the text."""

RANKS = 3
"""Different successors that are recalled, the most recent first."""

MIDDLES = (0.01, 0.04, 0.1, 0.22, 0.4, 0.6, 0.78, 0.9, 0.97)
"""A probability of each class by which recalls are counted."""


@dataclass(slots=True)
class Table:
    """A table of n buckets."""

    keys: np.ndarray
    """int32 [n, 4, 2]: the context of an entry, padded on the left with -1; (-2, -2) for a free one."""
    tokens: np.ndarray
    """int32 [n, 4, 12]: its successors, -1 for none."""
    weights: np.ndarray
    """float32 [n, 4, 12]: their weights, 0 for none."""
    recalls: np.ndarray
    """float64 [8, 3, 9, 2]: hits and trials of recalled tokens, by tokens that agree, rank and class of probability."""

    handle: Any = field(default=None, compare=False, repr=False)
    """The table as a body sees it, made at first use; the arrays above are changed in place, never replaced."""

    def __reduce__(self):
        return Table, (self.keys, self.tokens, self.weights, self.recalls)  # a copy has arrays of its own

    @classmethod
    def empty(cls, buckets: int) -> "Table":
        """A table that knows nothing."""
        return cls(
            np.full((buckets, WAYS, 2), -2, np.int32),
            np.full((buckets, WAYS, SUCCESSORS), NONE, np.int32),
            np.zeros((buckets, WAYS, SUCCESSORS), np.float32),
            first_recalls(),
        )


def first_recalls() -> np.ndarray:
    """`Table.recalls` before any was tried: what recalls are believed then, with the weight of two trials."""
    out = np.empty((REACH, RANKS, len(MIDDLES), 2))
    for agree in range(REACH):
        for rank in range(RANKS):
            gain = 0.3 * (agree + 1) / (REACH if rank == 0 else RANKS * REACH)
            for kind, middle in enumerate(MIDDLES):
                out[agree, rank, kind] = 2 * (middle + (1 - middle) * gain), 2
    return out


def mix(first: int, second: int, salt: int = 0x27D4EB2F) -> int:
    """Two numbers hashed to 32 bits."""
    mixed = (first * 0x9E3779B1 + second * 0x85EBCA77 + salt) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    return mixed ^ (mixed >> 13)


def bucket_of(first: int, second: int, buckets: int) -> int:
    """Where a context is looked up."""
    return mix(first, second) % buckets


def long_key(a: int, b: int, c: int, d: int) -> tuple[int, int]:
    """Four numbers hashed to 61 bits, below the keys of short contexts."""
    return -3 - (mix(a, b, 0x165667B1) >> 2), mix(c, d, 0x27220A95) >> 1


def contexts(last: tuple[int, ...]) -> list[tuple[int, int]]:
    """Keys of the contexts that the last eight tokens (-1 for one that is not there) make, the longest first."""
    found = []
    if last[0] >= 0:
        found.append(long_key(*(mix(last[i], last[i + 1], 0x61C88647) for i in (0, 2, 4, 6))))
    if last[4] >= 0:
        found.append(long_key(*last[4:]))
    if last[6] >= 0:
        found.append((last[6], last[7]))
    if last[7] >= 0:
        found.append((NONE, last[7]))
    return [*found, (NONE, NONE)]


def last_tokens(ids: Sequence[int], end: int) -> tuple[int, ...]:
    """The eight tokens before a place, padded on the left with -1."""
    known = ids[max(0, end - REACH) : end]
    return (*(NONE,) * (REACH - len(known)), *known)


def find(table: Table, context: tuple[int, int]) -> tuple[int, int] | None:
    """Bucket and way of a context, or None."""
    bucket = bucket_of(*context, len(table.keys))
    for way in range(WAYS):
        if tuple(table.keys[bucket, way]) == context:
            return bucket, way
    return None


def increment(table: Table, context: tuple[int, int], token: int, amount: float, cap: float, keep: float = 1.0) -> None:
    """Add to the weight of a successor, up to a cap, after all of its context have kept a share of theirs.

    What is new takes the place of what has the lowest weight, the first of several.
    """
    place = claim(table, context)
    table.weights[place] *= np.float32(keep)
    add(table, place, token, amount, cap)


def claim(table: Table, context: tuple[int, int]) -> tuple[int, int]:
    """Bucket and way of a context; a new one takes the place of the entry of its bucket of the lowest weight."""
    place = find(table, context)
    if place is None:
        bucket = bucket_of(*context, len(table.keys))
        way = int(table.weights[bucket].sum(axis=1, dtype=np.float32).argmin())
        table.keys[bucket, way] = context
        table.tokens[bucket, way] = NONE
        table.weights[bucket, way] = 0
        place = bucket, way
    return place


def add(table: Table, place: tuple[int, int], token: int, amount: float, cap: float) -> None:
    """Add to the weight of a successor of an entry; a new one takes the place of that of the lowest weight."""
    tokens, weights = table.tokens[place], table.weights[place]
    known = np.flatnonzero(tokens == token)
    i = int(known[0]) if len(known) else int(weights.argmin())
    if not len(known):
        tokens[i], weights[i] = token, 0
    weights[i] = min(np.float32(cap), np.float32(weights[i] + np.float32(amount)))


def normalise(table: Table, total: float) -> None:
    """Scale the weights of every context to this sum."""
    sums = table.weights.sum(axis=2, keepdims=True)
    table.weights *= np.float32(total) / np.where(sums > 0, sums, np.float32(1))


def update(table: Table, ids: list[int], start: int, amount: float, cap: float, keep: float = 1.0) -> None:
    """Learn that ids[i] follows what is before it, for every i from `start` on, in every context it has."""
    for i in range(start, len(ids)):
        for context in contexts(last_tokens(ids, i)):
            increment(table, context, ids[i], amount, cap, keep)


def distribution(tables: list[Table], last: tuple[int, ...]) -> dict[int, float]:
    """What may follow eight tokens, and how probably: a context leaves what it does not know to the next shorter one.

    One that weighs w in all gets w / (w + 1/4) of what the longer ones left, those longer than trigrams w / (w + 1/2)
    (absolute weights count: what has been seen once is believed less than what has been seen often). Several tables add
    up.
    """
    found: dict[int, float] = {}
    left = 1.0
    for context in contexts(last):
        weights: dict[int, float] = {}
        for table in tables:
            place = find(table, context)
            if place is not None:
                for token, weight in zip(table.tokens[place].tolist(), table.weights[place].tolist(), strict=True):
                    if weight > 0:
                        weights[token] = weights.get(token, 0.0) + weight
        total = sum(weights.values())
        if total > 0:
            share = left * total / (total + (0.5 if context[0] < -2 else 0.25))
            for token, weight in weights.items():
                found[token] = found.get(token, 0.0) + share * weight / total
            left -= share
    return found
