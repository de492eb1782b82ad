"""What one step computes: the rows of several sequences, and which of them are scored."""

from collections.abc import Sequence

import numpy as np

from mindcold.engine.pool import Slot
from mindcold.ops.lora_linear import PADDING

PADDING_ROW = (0, -1, 0, 0, -1, PADDING)
"""A row that belongs to no sequence: token, start, position, cell, parent, adapter."""

PADDING_HEAD = (-1, -1, -1, -1, -1.0, 0.0)
"""A head that scores nothing: expert row, amateur row, draft token, parent head, alpha, beta."""


class StepPlan:
    """Rows and heads of one step, filled by the decoding loop and run by the engine."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int]] = []
        self.heads: list[tuple[int, int, int, int, float, float]] = []
        self.moves: list[tuple[int, int]] = []
        """Cells to copy from and to before anything else, see `mindcold.ops.tree_attention`."""

    def extend(self, slot: Slot, tokens: Sequence[int]) -> int:
        """Rows for tokens that follow the slot's committed ones, each the child of the one before; the last row."""
        first = len(self.rows)
        for i, token in enumerate(tokens):
            position = slot.length + i
            parent = first + i - 1 if i else -1
            self.rows.append((token, slot.start, position, slot.start + position, parent, slot.adapter))
        return len(self.rows) - 1

    def draft(self, slot: Slot, root: int, tokens: Sequence[int], parents: Sequence[int]) -> None:
        """Rows for a draft tree behind the slot's last row `root`; parents are numbers in the tree, -1 for the root."""
        first = len(self.rows)
        for i, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
            above = root if parent < 0 else first + parent
            cell = self.rows[root][3] + 1 + i
            self.rows.append((token, slot.start, self.rows[above][2] + 1, cell, above, slot.adapter))

    def score(
        self,
        expert: int,
        amateur: int | None = None,
        alpha: float = 0.0,
        beta: float = 0.0,
        token: int = -1,
        parent: int = -1,
    ) -> int:
        """Ask for the score of row `expert`, contrasted with row `amateur` if given; the number of the head.

        alpha = 0 leaves every token in, beta = 0 scores the expert alone. The head of a draft's node names its token
        and the head of its parent, see `mindcold.ops.tree_verify`.
        """
        self.heads.append((expert, expert if amateur is None else amateur, token, parent, alpha, beta))
        return len(self.heads) - 1

    def row_matrix(self, bucket: int) -> np.ndarray:
        """The rows and moves as int32 [8, bucket], padded."""
        matrix = np.empty((8, bucket), np.int32)
        matrix[:6] = np.array(self.rows + [PADDING_ROW] * (bucket - len(self.rows)), np.int32).T
        matrix[6:] = np.array(self.moves + [(-1, -1)] * (bucket - len(self.moves)), np.int32).T
        return matrix

    def head_matrix(self, bucket: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows, token and parent of each head int32 [4, bucket], and its alpha and beta float32 [bucket, 2]."""
        heads = self.heads + [PADDING_HEAD] * (bucket - len(self.heads))
        numbers = np.array([head[:4] for head in heads], np.int32).T
        return np.ascontiguousarray(numbers), np.array([head[4:] for head in heads], np.float32)
