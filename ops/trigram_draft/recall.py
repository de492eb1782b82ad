"""Prompt lookup: what followed the same tokens earlier in a text, believed as often as that was right so far.

Prompt lookup is Saxena's (2023); here it costs the same however long the text is, and its probability is measured:
`Table.recalls` counts hits, by how many tokens agree, by how recent the place is among those that agree as far, and by
the probability the contexts give the token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mindcold.ops.trigram_draft.table import RANKS, REACH, Table, distribution, last_tokens

LIMIT = 1 << 20
"""Runs of tokens an index knows at most, in 32 MB; what is new then is left out."""

BOUNDS = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Between classes of probability."""

RECALL_KEEP = 0.99
"""Weight of the past in what is counted of recalls."""


@dataclass(slots=True)
class TextIndex:
    """What followed every run of one to eight tokens of a text: the last three different tokens, the latest first."""

    followers: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    limit: int = LIMIT

    def add(self, ids: Sequence[int], place: int) -> None:
        """Take in the token at a place, with the runs that end before it."""
        token = ids[place]
        for length in range(1, min(REACH, place) + 1):
            run = tuple(ids[place - length : place])
            if run not in self.followers and len(self.followers) >= self.limit:
                return
            found = self.followers.setdefault(run, [])
            if token in found:
                found.remove(token)
            found.insert(0, token)
            del found[RANKS:]

    def matches(self, ids: Sequence[int]) -> tuple[int, list[int]]:
        """How many last tokens of a text are the longest run that is known, and what followed it."""
        for length in range(min(REACH, len(ids)), 0, -1):
            found = self.followers.get(tuple(ids[len(ids) - length :]))
            if found:
                return length, list(found)
        return 0, []


def class_of(probability: float) -> int:
    """Class of a probability."""
    return sum(probability >= bound for bound in BOUNDS)


def recall(table: Table, index: TextIndex, ids: Sequence[int], found: dict[int, float]) -> dict[int, float]:
    """A distribution with the tokens that are recalled given the share of times that such ones were right."""
    agree, tokens = index.matches(ids)
    if not tokens:
        return found
    shares = {}
    for rank, token in enumerate(tokens):
        hits, trials = table.recalls[agree - 1, rank, class_of(found.get(token, 0.0))].tolist()
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


def remember(tables: list[Table], index: TextIndex, ids: Sequence[int], start: int) -> None:
    """Take a text into its index from a place on, and count in the last table what recalls would have been right."""
    for i in range(max(1, start), len(ids)):
        agree, tokens = index.matches(ids[max(0, i - REACH) : i])
        if tokens:
            found = distribution(tables, last_tokens(ids, i))
        for rank, token in enumerate(tokens):
            counts = tables[-1].recalls[agree - 1, rank, class_of(found.get(token, 0.0))]
            counts *= RECALL_KEEP
            counts += float(token == ids[i]), 1.0
        index.add(ids, i)
