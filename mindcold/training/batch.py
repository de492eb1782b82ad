"""What one pass of the network takes: rows of tokens and the positions whose next token counts."""

from collections.abc import Iterator
from dataclasses import dataclass

import mindspore as ms
import numpy as np

from mindcold.training.targets import Targets


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one length, with their labels apart, since most positions may carry none."""

    tokens: np.ndarray
    """int32 [batch, length]."""
    documents: np.ndarray
    """int32 [batch, length]: attention stays between tokens of one number within a row."""
    places: np.ndarray
    """int32 [P]: row * length + column of every position that counts; 0 where a place is none."""
    targets: Targets
    """[P, K]: what is to be learned at each; shares of 0 where a place is none."""
    scale: float = 1.0
    """What the sum of the losses is multiplied with."""
    number: int = 0
    """Of the batch in the run, which its random numbers depend on."""

    def labelled(self, size: int) -> Iterator[tuple[ms.Tensor, ...]]:
        """Places, tokens, shares and scale, `size` places at a time, as far as any of them count."""
        scale = ms.Tensor(np.array(self.scale, np.float32))
        for first in range(0, len(self.places), size):
            part = slice(first, first + size)
            found = self.targets[part]
            if first and not found.shares.any():  # there is room for the most labels a batch can have
                break
            yield ms.Tensor(self.places[part]), ms.Tensor(found.tokens), ms.Tensor(found.shares), scale
