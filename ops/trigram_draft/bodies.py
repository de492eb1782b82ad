"""trigram_draft on the host: in C++, and in Python where no compiler is."""

import ctypes
import weakref
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mindcold.ops import build
from mindcold.ops.trigram_draft import mcts, recall, reference
from mindcold.ops.trigram_draft.recall import LIMIT, TextIndex
from mindcold.ops.trigram_draft.said import absorb
from mindcold.ops.trigram_draft.table import REACH, Table, update

SOURCE = Path(__file__).with_name("kernel.cc")

MAX_NODES = 256
"""Nodes of a tree, at most."""

Tree = tuple[list[int], list[int], list[float]]
"""Tokens, parents and path probabilities of a draft tree."""


class Verified(NamedTuple):
    """What a model says after a text and after each node of a draft, right or wrong."""

    tokens: Sequence[int]
    """Tokens of the nodes."""
    parents: Sequence[int]
    """Number of the node each follows, -1 for the text."""
    best: np.ndarray
    """int32 [1 + nodes, k]: the best tokens of every row, -1 for none."""
    logprobs: np.ndarray
    """float32 [1 + nodes, k]: their natural log-probabilities."""


class PythonTrigram:
    """The contract itself."""

    def index(self, limit: int = LIMIT) -> TextIndex:
        """An index of a text, see recall.TextIndex."""
        return TextIndex(limit=limit)

    def absorb(self, table: Table, ids: Sequence[int], rows: Verified) -> None:
        """See said.absorb."""
        absorb(table, list(ids), rows[:2], rows.best, rows.logprobs)

    def update(
        self, table: Table, ids: Sequence[int], start: int, amount: float, cap: float, keep: float = 1.0
    ) -> None:
        """See table.update."""
        update(table, list(ids), start, amount, cap, keep)

    def remember(self, shared: Table, own: Table, index: TextIndex, ids: Sequence[int], start: int) -> None:
        """See recall.remember."""
        recall.remember([shared, own], index, list(ids), start)

    def draft(
        self, shared: Table, own: Table, index: TextIndex, ids: Sequence[int], budget: int, depth: int, floor: float
    ) -> Tree:
        """See reference.best_first."""
        return reference.best_first([shared, own], index, list(ids), budget, depth, floor)

    def likeliest(
        self, shared: Table, own: Table, index: TextIndex, ids: Sequence[int], length: int, min_probability: float
    ) -> list[int]:
        """See reference.likeliest."""
        return reference.likeliest([shared, own], index, list(ids), length, min_probability)

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


def handle_of(table: Table) -> CTable:
    """A table as kernel.cc sees it, made once and kept with the table, so that it keeps nothing alive."""
    if table.handle is None:
        arrays = table.keys, table.tokens, table.weights, table.recalls
        table.handle = CTable(*(item.ctypes.data for item in arrays), len(table.keys))
    return table.handle


class CppIndex:
    """An index in C++, freed with this object."""

    def __init__(self, library: ctypes.CDLL, limit: int):
        self.handle = library.trigram_index(limit)
        weakref.finalize(self, library.trigram_forget_index, self.handle).atexit = False


class CppTrigram:
    """The C++ body, called directly: a draft is made between two steps, where no graph runs and microseconds count."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(build.library(SOURCE)))
        table, number, real = ctypes.POINTER(CTable), ctypes.c_int32, ctypes.c_double
        index, array_ = ctypes.c_void_p, ctypes.c_void_p
        ids: list[Any] = [ctypes.c_void_p, ctypes.c_int64]
        out = [ctypes.c_void_p] * 3
        self._update, self._draft = library.trigram_update, library.trigram_draft
        self._update.argtypes = [table, *ids, ctypes.c_int64, *[ctypes.c_float] * 3]
        self._library, library.trigram_index.restype = library, index
        library.trigram_index.argtypes, library.trigram_forget_index.argtypes = [ctypes.c_int64], [index]
        library.trigram_forget_index.restype = None
        self._remember, self._absorb = library.trigram_remember, library.trigram_absorb
        self._remember.argtypes = [table, table, index, *ids, ctypes.c_int64]
        rows: list[Any] = [array_, array_, ctypes.c_int64, array_, array_, ctypes.c_int64]
        self._absorb.argtypes = [table, *ids, *rows]
        self._update.restype = self._remember.restype = self._absorb.restype = None
        self._draft.argtypes = [table, table, index, *ids, number, number, real, *out]
        self._draft.restype = number
        self._likeliest = library.trigram_likeliest
        self._likeliest.argtypes = [table, table, index, *ids, number, real, array_]
        self._likeliest.restype = number
        self._search = library.trigram_search
        self._search.argtypes = [table, table, number, number, number, *out]
        self._search.restype = number
        self._out = (number * MAX_NODES)(), (number * MAX_NODES)(), (real * MAX_NODES)()

    def update(
        self, table: Table, ids: Sequence[int], start: int, amount: float, cap: float, keep: float = 1.0
    ) -> None:
        """See table.update."""
        known = as_array(ids)
        self._update(handle_of(table), *known.buffer_info(), start, amount, cap, keep)

    def index(self, limit: int = LIMIT) -> CppIndex:
        """An index of a text, see recall.TextIndex."""
        return CppIndex(self._library, limit)

    def absorb(self, table: Table, ids: Sequence[int], rows: Verified) -> None:
        """See said.absorb."""
        known, tokens, parents = as_array(ids[-REACH:]), as_array(rows.tokens), as_array(rows.parents)
        best = np.ascontiguousarray(rows.best, np.int32)
        logprobs = np.ascontiguousarray(rows.logprobs, np.float32)
        nodes = tokens.buffer_info()[0], parents.buffer_info()[0], len(tokens)
        found = best.ctypes.data, logprobs.ctypes.data, best.shape[1]
        self._absorb(handle_of(table), *known.buffer_info(), *nodes, *found)

    def remember(self, shared: Table, own: Table, index: CppIndex, ids: Sequence[int], start: int) -> None:
        """See recall.remember."""
        known = as_array(ids)
        self._remember(handle_of(shared), handle_of(own), index.handle, *known.buffer_info(), start)

    def draft(
        self, shared: Table, own: Table, index: CppIndex, ids: Sequence[int], budget: int, depth: int, floor: float
    ) -> Tree:
        """See reference.best_first."""
        known = as_array(ids)
        tokens, parents, probabilities = self._out
        size = self._draft(
            handle_of(shared),
            handle_of(own),
            index.handle,
            *known.buffer_info(),
            min(budget, MAX_NODES),
            depth,
            floor,
            *self._out,
        )
        return tokens[:size], parents[:size], probabilities[:size]

    def likeliest(
        self, shared: Table, own: Table, index: CppIndex, ids: Sequence[int], length: int, min_probability: float
    ) -> list[int]:
        """See reference.likeliest."""
        known, tokens = as_array(ids), self._out[0]
        tables = handle_of(shared), handle_of(own), index.handle
        return tokens[: self._likeliest(*tables, *known.buffer_info(), min(length, MAX_NODES), min_probability, tokens)]

    def search(self, shared: Table, own: Table, last: tuple[int, int], budget: int) -> Tree:
        """See mcts.mcts; -1 stands for a token that is not there."""
        tokens, parents, probabilities = self._out
        size = self._search(handle_of(shared), handle_of(own), *last, min(budget, MAX_NODES), *self._out)
        return tokens[:size], parents[:size], probabilities[:size]


def as_array(ids: Sequence[int]) -> "array[int]":
    """Token ids where C++ finds them; an array of int32 as it is."""
    return ids if isinstance(ids, array) else array("i", ids)
