"""trigram_draft on the host: in C++, and in Python where no compiler is."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mindcold.ops import build
from mindcold.ops.trigram_draft import reference
from mindcold.ops.trigram_draft.reference import Table

SOURCE = Path(__file__).with_name("kernel.cc")

Tree = tuple[list[int], list[int], list[float]]
"""Tokens, parents and path probabilities of a draft tree."""


class PythonTrigram:
    """The contract itself."""

    def update(self, table: Table, ids: Sequence[int], start: int, amount: float, cap: float) -> None:
        """See reference.update."""
        reference.update(table, list(ids), start, amount, cap)

    def draft(self, shared: Table, own: Table, last: tuple[int, int], budget: int, depth: int, floor: float) -> Tree:
        """See reference.best_first; -1 stands for a token that is not there."""
        return reference.best_first([shared, own], *last, budget, depth, floor)


class CppTrigram:
    """The C++ body, called directly: a draft is made between two steps, where no graph runs."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(build.library(SOURCE)))
        self._update, self._draft = library.trigram_update, library.trigram_draft

    def update(self, table: Table, ids: Sequence[int], start: int, amount: float, cap: float) -> None:
        """See reference.update."""
        setting = np.array([start, amount, cap], np.float32)
        call(
            self._update,
            table.keys,
            table.tokens,
            table.weights,
            np.array(ids, np.int32),
            setting,
            np.zeros(1, np.int32),
        )

    def draft(self, shared: Table, own: Table, last: tuple[int, int], budget: int, depth: int, floor: float) -> Tree:
        """See reference.best_first; -1 stands for a token that is not there."""
        tokens, parents = np.empty(budget, np.int32), np.empty(budget, np.int32)
        odds, count = np.empty(budget, np.float64), np.zeros(1, np.int32)
        tables = (shared.keys, shared.tokens, shared.weights, own.keys, own.tokens, own.weights)
        setting = np.array([depth, floor], np.float64)
        call(self._draft, *tables, np.array(last, np.int32), setting, tokens, parents, odds, count)
        size = int(count[0])
        return tokens[:size].tolist(), parents[:size].tolist(), odds[:size].tolist()


def call(function, *operands: np.ndarray) -> None:
    """Call a kernel with arrays the way MindSpore would."""
    count = len(operands)
    params = (ctypes.c_void_p * count)(*[item.ctypes.data for item in operands])
    shapes = [(ctypes.c_int64 * item.ndim)(*item.shape) for item in operands]
    pointers = (ctypes.POINTER(ctypes.c_int64) * count)(
        *[ctypes.cast(s, ctypes.POINTER(ctypes.c_int64)) for s in shapes]
    )
    if function(count, params, None, pointers, None, None, None):
        raise ValueError("wrong number of operands")
