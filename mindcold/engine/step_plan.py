"""What one step computes: rows of several sequences, and the heads that score some of them."""

from collections.abc import Sequence as Items

import numpy as np

from mindcold.engine.pool import Segment
from mindcold.engine.sequence import Sequence
from mindcold.ops.lora_linear import PADDING
from mindcold.ops.rows import LINES, Row

ROW_BUCKETS = (16, 64, 256)
"""Rows of a step are padded to one of these, so that graphs have static shapes and few are compiled.

The operators leave padding out, and a row's bits do not depend on the rows beside it: a bucket costs next to nothing.
"""

MAX_ROWS = ROW_BUCKETS[-1]
"""Rows of a step at most."""


def row_bucket(rows: int) -> int:
    """The smallest bucket that holds this many rows."""
    return next(bucket for bucket in ROW_BUCKETS if bucket >= rows)


class StepPlan:
    """Rows and heads of one step, filled by the scheduler and run by the engine.

    A head is one row to score, or a row of the expert and one of the amateur; its number is the order of `score` calls.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        """Token, segment, position, slot, parent, adapter."""
        self.heads: list[tuple[int, int, int, int]] = []
        """Expert's row, amateur's row, draft token, head of its parent."""
        self.weights: list[tuple[float, float]] = []
        """Alpha and beta of each head."""
        self.masks: list[np.ndarray | None] = []
        """Which tokens may come at each head, bool [vocab]; None for all."""
        self.masked = self.contrast = False
        self._segments: dict[Segment, int] = {}
        self._table: list[tuple[int, int, int]] = []

    @property
    def bucket(self) -> int:
        """Rows of the graph it needs."""
        return row_bucket(max(len(self.rows), len(self._table), 1))

    def extend(
        self, sequence: Sequence, tokens: Items[int], draft: Items[int] = (), parents: Items[int] = ()
    ) -> list[int]:
        """Rows for tokens that follow the committed ones, and for a draft tree after them, in every stream.

        Parents are numbers in the tree, -1 for the last of the tokens. Gives the row of that last token in each stream;
        those of the draft follow it.
        """
        roots, rows, length, count = [], self.rows, sequence.length, len(tokens)
        for stream in sequence.streams:
            number, first, adapter = self._segment(stream), len(rows), stream.adapter
            slot = stream.start + length - stream.first
            assert slot + count + len(draft) <= stream.start + stream.size
            for i, token in enumerate(tokens):
                rows.append((token, number, length + i, slot + i, first + i - 1 if i else -1, adapter))
            root = first + count - 1
            for i, (token, parent) in enumerate(zip(draft, parents, strict=True)):
                above = root + 1 + parent
                rows.append((token, number, rows[above][2] + 1, slot + count + i, above, adapter))
            roots.append(root)
        return roots

    def _segment(self, segment: Segment) -> int:
        """Its number in the table of the step, its ancestors' beside it."""
        number = self._segments.get(segment)
        if number is None:
            parent = -1 if segment.parent is None else self._segment(segment.parent)
            number = self._segments[segment] = len(self._table)
            self._table.append((segment.start, segment.first, parent))
        return number

    def score(
        self,
        rows: Items[int],
        alpha: float = 0.0,
        beta: float = 0.0,
        token: int = -1,
        parent: int = -1,
        mask: np.ndarray | None = None,
    ) -> None:
        """Ask for the score of a row, or of an expert's and an amateur's contrasted.

        alpha = 0 leaves every token in, beta = 0 scores the expert alone. The head of a draft's node names its token
        and the head of its parent, see `mindcold.ops.tree_verify`; `mask` bool [vocab] says which tokens may come.
        """
        contrast = len(rows) > 1
        self.heads.append((rows[0], rows[1] if contrast else -1, token, parent))
        self.contrast |= contrast
        self.weights.append((alpha, beta))
        self.masks.append(mask)
        self.masked |= mask is not None

    def row_matrix(self, bucket: int, moves: Items[tuple[int, int]]) -> np.ndarray:
        """Rows, moves (slots to copy from and to first of all) and segments as int32 [11, bucket], padded."""
        matrix = np.full((LINES, bucket), -1, np.int32)
        count = len(self.rows)
        if count:
            matrix[: Row.SOURCE, :count] = np.array(self.rows, np.int32).T
            table = np.array(self._table, np.int32).T
            matrix[Row.SEGMENT_START :, : table.shape[1]] = table
        matrix[: Row.SOURCE, count:] = _PADDING_ROW
        if moves:
            matrix[Row.SOURCE : Row.TARGET + 1, : len(moves)] = np.array(moves, np.int32).T
        return matrix

    def head_matrix(self, bucket: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows, token and parent of each head int32 [4, bucket], and its alpha and beta float32 [bucket, 2]."""
        numbers = np.full((4, bucket), -1, np.int32)
        weights = np.full((bucket, 2), -1, np.float32)  # a negative alpha is padding
        if self.heads:
            numbers[:, : len(self.heads)] = np.array(self.heads, np.int32).T
            weights[: len(self.heads)] = self.weights
        return numbers, weights

    def mask_matrix(self, bucket: int, vocab_size: int) -> np.ndarray:
        """Which tokens may come at each head, int8 [bucket, vocab]."""
        matrix = np.ones((bucket, vocab_size), np.int8)
        for row, mask in zip(matrix, self.masks, strict=False):
            if mask is not None:
                row[:] = mask
        return matrix


_PADDING_ROW = np.array([[0, -1, 0, 0, -1, PADDING]], np.int32).T
