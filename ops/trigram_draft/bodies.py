"""trigram_draft on the host: in C++, and in Python where no compiler is."""

import ctypes
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindcold.ops import build
from mindcold.ops.trigram_draft import mcts, reference
from mindcold.ops.trigram_draft.reference import Table

SOURCE = Path(__file__).with_name("kernel.cc")

LARGEST = 256
"""Most nodes of a tree."""

Tree = tuple[list[int], list[int], list[float]]
"""Tokens, parents and path probabilities of a draft tree."""


class PythonTrigram:
    """The contract itself."""

    def update(
        self, table: Table, ids: Sequence[int], start: int, amount: float, cap: float, keep: float = 1.0
    ) -> None:
        """See reference.update."""
        reference.update(table, list(ids), start, amount, cap, keep)

    def weigh(self, shared: Table, own: Table, ids: Sequence[int], start: int) -> None:
        """See reference.weigh."""
        reference.weigh([shared, own], list(ids), start)

    def draft(self, shared: Table, own: Table, ids: Sequence[int], budget: int, depth: int, floor: float) -> Tree:
        """See reference.best_first."""
        return reference.best_first([shared, own], list(ids), budget, depth, floor)

    def likeliest(self, shared: Table, own: Table, ids: Sequence[int], length: int, least: float) -> list[int]:
        """See reference.likeliest."""
        return reference.likeliest([shared, own], list(ids), length, least)

    def search(self, shared: Table, own: Table, last: tuple[int, int], budget: int) -> Tree:
        """See mcts.mcts; -1 stands for a token that is not there."""
        return mcts.mcts([shared, own], *last, budget)


class CTable(ctypes.Structure):
    """A table as kernel.cc sees it."""

    _fields_ = [
        ("keys", ctypes.c_void_p),
        ("tokens", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("recalls", ctypes.c_void_p),
        ("buckets", ctypes.c_int64),
    ]


class CppTrigram:
    """The C++ body, called directly: a draft is made between two steps, where no graph runs and microseconds count."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(build.library(SOURCE)))
        table, number, real = ctypes.POINTER(CTable), ctypes.c_int32, ctypes.c_double
        ids: list[Any] = [ctypes.c_void_p, ctypes.c_int64]
        out = [ctypes.c_void_p] * 3
        self._update, self._draft = library.trigram_update, library.trigram_draft
        self._update.argtypes = [table, *ids, ctypes.c_int64, *[ctypes.c_float] * 3]
        self._weigh = library.trigram_weigh
        self._weigh.argtypes = [table, table, *ids, ctypes.c_int64]
        self._update.restype = self._weigh.restype = None
        self._draft.argtypes = [table, table, *ids, number, number, real, *out]
        self._draft.restype = number
        self._likeliest = library.trigram_likeliest
        self._likeliest.argtypes = [table, table, *ids, number, real, ctypes.c_void_p]
        self._likeliest.restype = number
        self._search = library.trigram_search
        self._search.argtypes = [table, table, number, number, number, *out]
        self._search.restype = number
        self._out = (number * LARGEST)(), (number * LARGEST)(), (real * LARGEST)()
        self._tables: dict[int, tuple[Table, CTable]] = {}

    def _of(self, table: Table) -> CTable:
        known = self._tables.get(id(table))
        if known is None or known[0] is not table:
            arrays = table.keys, table.tokens, table.weights, table.recalls
            known = table, CTable(*(item.ctypes.data for item in arrays), len(table.keys))
            if len(self._tables) > 64:
                self._tables.clear()
            self._tables[id(table)] = known
        return known[1]

    def update(
        self, table: Table, ids: Sequence[int], start: int, amount: float, cap: float, keep: float = 1.0
    ) -> None:
        """See reference.update."""
        known = as_array(ids)
        self._update(self._of(table), *known.buffer_info(), start, amount, cap, keep)

    def weigh(self, shared: Table, own: Table, ids: Sequence[int], start: int) -> None:
        """See reference.weigh."""
        known = as_array(ids)
        self._weigh(self._of(shared), self._of(own), *known.buffer_info(), start)

    def draft(self, shared: Table, own: Table, ids: Sequence[int], budget: int, depth: int, floor: float) -> Tree:
        """See reference.best_first."""
        known = as_array(ids)
        tokens, parents, odds = self._out
        size = self._draft(
            self._of(shared),
            self._of(own),
            *known.buffer_info(),
            min(budget, LARGEST),
            depth,
            floor,
            *self._out,
        )
        return tokens[:size], parents[:size], odds[:size]

    def likeliest(self, shared: Table, own: Table, ids: Sequence[int], length: int, least: float) -> list[int]:
        """See reference.likeliest."""
        known, tokens = as_array(ids), self._out[0]
        tables = self._of(shared), self._of(own)
        return tokens[: self._likeliest(*tables, *known.buffer_info(), min(length, LARGEST), least, tokens)]

    def search(self, shared: Table, own: Table, last: tuple[int, int], budget: int) -> Tree:
        """See mcts.mcts; -1 stands for a token that is not there."""
        tokens, parents, odds = self._out
        size = self._search(self._of(shared), self._of(own), *last, min(budget, LARGEST), *self._out)
        return tokens[:size], parents[:size], odds[:size]


def as_array(ids: Sequence[int]) -> "array[int]":
    """Token ids where C++ finds them; an array of int32 as it is."""
    return ids if isinstance(ids, array) else array("i", ids)
