"""ADED's drafter: an adaptive trigram table and a tree search over it (arXiv 2407.12021)."""

from collections.abc import Sequence

from mindcold.drafting.drafter import Draft
from mindcold.ops import trigram_draft
from mindcold.ops.trigram_draft.reference import Table

BUCKETS = 1 << 14
"""Buckets of a table: 6.8 MB, 65,536 contexts."""

STEP, CAP = 0.04, 3.0
"""ADED's constants: what one sighting adds to a weight, and the most a weight can reach."""

SIGHTINGS = 6
"""How many of ADED's steps a decided token counts. Its code counts every window of the last 16 tokens anew at each
call, about 14 / (1 + accepted) times; counting once with that weight is the same and cheaper."""

DEPTH = 8
"""Longest path of a tree."""

FLOOR = 1e-3
"""Nodes less probable than this are not worth a row."""


class TrigramTables:
    """The tables of a loaded model: one shared, filled from text, and one per adapter, filled as decoding goes.

    CoLD's output differs from the base's, so what is learned is kept apart by adapter and method. Memory is set by the
    number of buckets and of tables, at most `limit` beside the shared one; the table used longest ago goes first.
    """

    def __init__(self, buckets: int = BUCKETS, limit: int = 8, backend: str = "auto"):
        self.shared = Table.empty(buckets)
        self.body = trigram_draft.body(backend)
        self._own: dict[object, Table] = {}
        self._buckets, self._limit = buckets, limit

    def own(self, key: object) -> Table:
        """The table of an adapter under a method."""
        table = self._own.pop(key, None)
        if table is None:
            table = Table.empty(self._buckets)
        while len(self._own) >= self._limit:
            self._own.pop(next(iter(self._own)))
        self._own[key] = table
        return table

    def seed(self, ids: Sequence[int]) -> None:
        """Count one text into the shared table."""
        self.body.update(self.shared, ids, 0, STEP, CAP)


class TrigramDrafter:
    """One request's view of the tables."""

    def __init__(self, tables: TrigramTables, key: object):
        self._tables, self._own = tables, tables.own(key)

    def propose(self, ids: Sequence[int], budget: int) -> Draft:
        """The `budget` most probable nodes behind the last two tokens."""
        last = (ids[-2] if len(ids) > 1 else -1, ids[-1])
        return Draft(*self._tables.body.draft(self._tables.shared, self._own, last, budget, DEPTH, FLOOR))

    def observe(self, ids: Sequence[int], new: int) -> None:
        """Count the new tokens in."""
        window = ids[-(new + 2) :]
        self._tables.body.update(self._own, window, len(window) - new, STEP * SIGHTINGS, CAP)
