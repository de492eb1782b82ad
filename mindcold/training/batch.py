"""What one pass of the network takes: rows of tokens and the positions whose next token counts."""

from collections.abc import Iterator
from dataclasses import dataclass

import mindspore as ms
import numpy as np


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one length, with their labels apart, since most positions may carry none."""

    tokens: np.ndarray
    """int32 [batch, length]."""
    documents: np.ndarray
    """int32 [batch, length]: attention stays between tokens of one number within a row."""
    places: np.ndarray
    """int32 [P]: row * length + column of every position that counts; 0 where a place is none."""
    labels: np.ndarray
    """int32 [P]: the token that follows each; IGNORED where a place is none."""
    scale: float = 1.0
    """What the sum of the losses is multiplied with."""
    number: int = 0
    """Of the batch in the run, which its random numbers depend on."""

    def labelled(self, size: int) -> Iterator[tuple[ms.Tensor, ms.Tensor, ms.Tensor]]:
        """Places, labels and scale, `size` places at a time."""
        scale = ms.Tensor(np.array(self.scale, np.float32))
        for first in range(0, len(self.places), size):
            part = slice(first, first + size)
            yield ms.Tensor(self.places[part]), ms.Tensor(self.labels[part]), scale
