"""What one step computes: the rows of several sequences, and which of them are scored."""

from collections.abc import Sequence

import numpy as np

from mindcold.engine.pool import Slot
from mindcold.ops.lora_linear import PADDING

PADDING_ROW = (0, -1, 0, 0, -1, PADDING)
"""A row that belongs to no sequence: token, start, position, cell, parent, adapter."""

PADDING_HEAD = (-1, -1, -1.0, 0.0)
"""A head that scores nothing: expert row, amateur row, alpha, beta."""


class StepPlan:
    """Rows and heads of one step, filled by the decoding loop and run by the engine."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        self.heads: list[tuple[int, int, float, float]] = []

    def extend(self, slot: Slot, tokens: Sequence[int]) -> int:
        """Rows for tokens that follow the slot's committed ones, each the child of the one before; the last row."""
        first = len(self.rows)
        for i, token in enumerate(tokens):
            position = slot.length + i
            parent = first + i - 1 if i else -1
            self.rows.append((token, slot.start, position, slot.start + position, parent, slot.adapter))
        return len(self.rows) - 1

    def score(self, expert: int, amateur: int | None = None, alpha: float = 0.0, beta: float = 0.0) -> int:
        """Ask for the score of row `expert`, contrasted with row `amateur` if given; the number of the head.

        alpha = 0 leaves every token in, beta = 0 scores the expert alone.
        """
        self.heads.append((expert, expert if amateur is None else amateur, alpha, beta))
        return len(self.heads) - 1

    def row_matrix(self, bucket: int) -> np.ndarray:
        """The rows as int32 [6, bucket], padded."""
        padding = [PADDING_ROW] * (bucket - len(self.rows))
        return np.ascontiguousarray(np.array(self.rows + padding, np.int32).T)

    def head_matrix(self, bucket: int) -> tuple[np.ndarray, np.ndarray]:
        """Expert and amateur row of each head int32 [2, bucket], and its alpha and beta float32 [bucket, 2]."""
        heads = self.heads + [PADDING_HEAD] * (bucket - len(self.heads))
        pairs = np.array([head[:2] for head in heads], np.int32).T
        return np.ascontiguousarray(pairs), np.array([head[2:] for head in heads], np.float32)
