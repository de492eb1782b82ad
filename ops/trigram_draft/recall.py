"""Prompt lookup: what followed the same tokens earlier in a text, believed as often as that was right so far.

Prompt lookup is Saxena's (2023); here its probability is measured: `Table.recalls` counts hits, by how many tokens
agree, by how recent the place is among those that agree as far, and by the probability the contexts give the token.
"""

from collections.abc import Sequence

from mindcold.ops.trigram_draft.table import RANKS, REACH, Table, distribution, last_tokens

WINDOW = 256
"""Tokens back in which an earlier place is looked for."""

BOUNDS = (0.02, 0.06, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
"""Between classes of probability."""

RECALL_KEEP = 0.99
"""Weight of the past in what is counted of recalls."""


def matches(ids: Sequence[int]) -> tuple[int, list[int]]:
    """How many last tokens of a text agree with those at the best earlier place, and what followed there."""
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


def class_of(probability: float) -> int:
    """Class of a probability."""
    return sum(probability >= bound for bound in BOUNDS)


def recall(table: Table, ids: Sequence[int], found: dict[int, float]) -> dict[int, float]:
    """A distribution with the tokens that are recalled given the share of times that such ones were right."""
    agree, tokens = matches(ids)
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


def calibrate(tables: list[Table], ids: Sequence[int], start: int) -> None:
    """Count, in the last table, what recalls would have been right from a place on."""
    for i in range(max(1, start), len(ids)):
        found = distribution(tables, last_tokens(ids, i))
        agree, tokens = matches(ids[:i])
        for rank, token in enumerate(tokens):
            counts = tables[-1].recalls[agree - 1, rank, class_of(found.get(token, 0.0))]
            counts *= RECALL_KEEP
            counts += float(token == ids[i]), 1.0
