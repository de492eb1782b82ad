"""The moves of tree_attention on Ascend by their Triton kernel. Written, never run on an NPU.

The engine leaves the moves in its graph, where they are part of the call that writes the new keys: a launch per cache
between two graphs would be two more for each layer. `tools/check_ascend.py` measures both.
"""

from collections.abc import Sequence

import mindspore as ms
import numpy as np

from mindcold.ops import launcher


def commit(caches: Sequence[ms.Parameter], source: np.ndarray, target: np.ndarray) -> None:
    """Copy the slots `source` to the slots `target`, int32 [moves], -1 for none, in caches [N, KV, D]: in place."""
    block, kernel = launcher.constants("tree_attention").BLOCK, launcher.kernel("tree_attention", "kv_commit")
    moves = ms.Tensor(source), ms.Tensor(target)
    for cache in caches:
        slots, heads, size = cache.shape
        width = heads * size
        kernel[(1, -(-width // block))](cache, *moves, slots, width, len(source), BLOCK=block)
