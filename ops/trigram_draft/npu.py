"""Looking contexts up in a trigram table on Ascend by its Triton kernel. Written, never run on an NPU.

The engine drafts on the host, where the table is learned and a tree takes microseconds; this is for tables that live on
the device. `tools/check_ascend.py` measures both.
"""

from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import ops

from mindcold.ops import launcher
from mindcold.ops.trigram_draft.table import SUCCESSORS, WAYS, Table


class DeviceTable(NamedTuple):
    """The arrays of a table, copied to the device as they are."""

    keys: ms.Tensor
    tokens: ms.Tensor
    weights: ms.Tensor

    @classmethod
    def of(cls, table: Table) -> "DeviceTable":
        """A copy of a table."""
        return cls(ms.Tensor(table.keys), ms.Tensor(table.tokens), ms.Tensor(table.weights))


def lookup(table: DeviceTable, contexts: np.ndarray) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """Where contexts int32 [Q, 2] are, bucket * 4 + way or -1, int32 [Q], and their successors.

    Those are tokens int32 [Q, 12], -1 for none, and weights float32 [Q, 12], 0 for none: see `table.find`.
    """
    first, second = (ms.Tensor(np.ascontiguousarray(column)) for column in contexts.T)
    count, lanes = len(contexts), launcher.constants("trigram_draft").LANES
    place, tokens = ops.zeros((count,), ms.int32), ops.zeros((count, SUCCESSORS), ms.int32)
    weights = ops.zeros((count, SUCCESSORS), ms.float32)
    launcher.kernel("trigram_draft", "trigram_lookup")[(count,)](
        *(first, second, *table, place, tokens, weights, table.keys.shape[0]),
        WAYS=WAYS,
        SUCCESSORS=SUCCESSORS,
        LANES=lanes,
    )
    return place, tokens, weights
