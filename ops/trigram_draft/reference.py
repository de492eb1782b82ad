"""The contract of trigram_draft, in NumPy and plain Python.

A table holds what has followed what: successors of a context, each with a weight. Contexts are the last two tokens, the
last one, and none, so that what the trigrams do not know is taken from bigrams and unigrams; and the last eight and
four, which are believed first where they are known. The table is a fixed set of buckets of four entries of twelve
successors: its memory is set once and never grows. The rules are those of ADED (arXiv 2407.12021: the table, its
adaptive update and the twelve successors kept), with back-off, long contexts and decay added.

What followed the same tokens earlier in the same text is believed as often as that was right so far (prompt lookup,
Saxena 2023, with a measured probability): `Table.recalls` counts it, by how many tokens agree, by how recent the place
is among those that agree as far, and by the probability the contexts give the token.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WAYS = 4
"""Entries of a bucket."""

SUCCESSORS = 12
"""Successors of an entry."""

NONE = -1
"""No token: pads contexts and successors."""

REACH = 8
"""Tokens of the longest context, and the most that are compared to find a place earlier in the text."""

RANKS = 3
"""Different successors that are recalled, the most recent first."""

WINDOW = 256
"""Tokens back in which they are looked for."""

BOUNDS = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Between classes of probability."""

MIDDLES = (0.01, 0.04, 0.1, 0.22, 0.4, 0.6, 0.78, 0.9, 0.97)
"""A probability of each class."""

RECALL_KEEP = 0.99
"""Weight of the past in what is counted of recalls."""


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
    """What recalls are believed before any was tried, with the weight of two trials."""
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


def bump(table: Table, context: tuple[int, int], token: int, amount: float, cap: float, keep: float = 1.0) -> None:
    """Add to the weight of a successor, up to a cap, after all of its context have kept a share of theirs.

    A new context takes the place of the entry of its bucket that weighs least, a new successor that of the lightest
    one of its entry; the first of several.
    """
    place = find(table, context)
    if place is None:
        bucket = bucket_of(*context, len(table.keys))
        way = int(table.weights[bucket].sum(axis=1, dtype=np.float32).argmin())
        table.keys[bucket, way] = context
        table.tokens[bucket, way] = NONE
        table.weights[bucket, way] = 0
        place = bucket, way
    tokens, weights = table.tokens[place], table.weights[place]
    weights *= np.float32(keep)
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
            bump(table, context, ids[i], amount, cap, keep)


def distribution(tables: list[Table], last: tuple[int, ...], least: float = 0.0) -> dict[int, float]:
    """What may follow eight tokens, and how probably: a context leaves what it does not know to the next shorter one.

    One that weighs w in all gets w / (w + 1/4) of what the longer ones left, those longer than trigrams w / (w + 1/2)
    (absolute weights count: what has been seen once is believed less than what has been seen often). Several tables add
    up. Where less than `least` is left, shorter contexts are not asked.
    """
    found: dict[int, float] = {}
    left = 1.0
    for context in contexts(last):
        if left < least:
            break
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


def matches(ids: Sequence[int]) -> tuple[int, list[int]]:
    """How many last tokens of a text agree with those at the best earlier place, and what followed at such places."""
    end, agree, found = len(ids) - 1, 0, list[int]()
    for place in range(end - 1, max(-1, end - 1 - WINDOW), -1):
        length = 0
        while length < REACH and length <= place and ids[place - length] == ids[end - length]:
            length += 1
        if length > agree:
            agree, found = length, [ids[place + 1]]
        elif length and length == agree and len(found) < RANKS and ids[place + 1] not in found:
            found.append(ids[place + 1])
    return agree, found


def kind_of(probability: float) -> int:
    """Class of a probability."""
    return sum(probability >= bound for bound in BOUNDS)


def recall(table: Table, ids: Sequence[int], found: dict[int, float]) -> dict[int, float]:
    """A distribution with the tokens that are recalled given the share of times that such ones were right."""
    agree, tokens = matches(ids)
    if not tokens:
        return found
    shares = {}
    for rank, token in enumerate(tokens):
        hits, trials = table.recalls[agree - 1, rank, kind_of(found.get(token, 0.0))].tolist()
        shares[token] = hits / trials
    total, left = 0.0, 1.0
    for token, share in shares.items():
        total += share
        left -= found.get(token, 0.0)
    if total > 1:
        shares = {token: share / total for token, share in shares.items()}
        total = 1.0
    rest = min(1.0, (1 - total) / left) if left > 1e-9 else 0.0
    return {token: share * rest for token, share in found.items()} | shares


def weigh(tables: list[Table], ids: Sequence[int], start: int) -> None:
    """Count, in the last table, what recalls would have been right from a place on."""
    for i in range(max(1, start), len(ids)):
        found = distribution(tables, last_tokens(ids, i))
        agree, tokens = matches(ids[:i])
        for rank, token in enumerate(tokens):
            counts = tables[-1].recalls[agree - 1, rank, kind_of(found.get(token, 0.0))]
            counts *= RECALL_KEEP
            counts += float(token == ids[i]), 1.0


def best_first(
    tables: list[Table], ids: Sequence[int], budget: int, depth: int, floor: float
) -> tuple[list[int], list[int], list[float]]:
    """The draft tree of the `budget` most probable nodes behind a text; recalls are believed as the last table counts.

    Gives tokens, parents (-1 for the root's children) and probabilities.

    Nodes come in the order of the probability of their path, which is optimal for a budget: the expected number of
    accepted tokens is the sum of these probabilities. Nodes deeper than `depth` or less probable than `floor` are left
    out. Ties go to the node found first, among siblings to the lower token.
    """
    tokens: list[int] = []
    parents: list[int] = []
    odds: list[float] = []
    count = 0
    heap: list[tuple[float, int, list[int], int, int, int]] = []

    def expand(text: list[int], parent: int, probability: float, level: int) -> None:
        nonlocal count
        found = recall(tables[-1], text, distribution(tables, last_tokens(text, len(text)), floor / probability))
        for token, share in sorted(found.items(), key=lambda item: (-item[1], item[0])):
            if probability * share >= floor:
                heapq.heappush(heap, (-probability * share, count, text, token, parent, level))
                count += 1

    expand(list(ids), -1, 1.0, 1)
    while heap and len(tokens) < budget:
        negative, _, before, token, parent, level = heapq.heappop(heap)
        tokens.append(token)
        parents.append(parent)
        odds.append(-negative)
        if level < depth:
            expand([*before, token], len(tokens) - 1, -negative, level + 1)
    return tokens, parents, odds


def likeliest(tables: list[Table], ids: Sequence[int], length: int, least: float) -> list[int]:
    """The likeliest token behind a text, the likeliest behind that, and so on, lowest ids on ties.

    At most `length` tokens, and none at which the path is less probable than `least`.
    """
    text, probability = list(ids), 1.0
    while len(text) - len(ids) < length:
        found = recall(tables[-1], text, distribution(tables, last_tokens(text, len(text)), least / probability))
        if not found:
            break
        token = min(found, key=lambda item: (-found[item], item))
        probability *= found[token]
        if probability < least or probability <= 0:
            break
        text.append(token)
    return text[len(ids) :]
