"""A network that computes outside the engine's graphs, with a cache of its own: another library's."""

from dataclasses import dataclass
from typing import Any, Protocol

import mindspore as ms
import numpy as np
from mindspore import nn


@dataclass(frozen=True, slots=True)
class HostCache:
    """The cache of a host network; of such the pool only says which slots are whose."""

    page: int = 1
    """Segments take whole pages of so many slots."""
    slots: int | None = None
    """Slots there are, None for as many as are asked for."""
    branches: bool = True
    """Whether slots can be shared and moved and drafts can be trees; else a segment is one run of tokens."""


class HostNetwork(Protocol):
    """What `NetworkFactory.build` may give in the place of a Cell; the engine's graph then begins with its logits."""

    def __call__(self, rows: np.ndarray, take: np.ndarray) -> ms.Tensor:
        """rows int32 [11, R], see `mindcold.ops.rows.Row`, take int32 [L] -> logits float32 [L, vocab] of the rows in
        `take`, anything where it is -1."""
        ...


class GivenLogits(nn.Cell):
    """The network of a scoring graph whose logits come from outside: construct(logits, take) -> logits."""

    def construct(self, logits: Any, take: Any) -> Any:
        return logits
