"""tree_attention in MindSpore's own operators: every row scores the whole pool under a mask."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops.rows import MAX_DEPTH, Row
from mindcold.ops.tree_attention.cache import WrittenCache

MASKED = np.float32(-1e30)
"""Added to the scores of slots a row does not see; finite, so that a row without any gives no NaN."""


class VisibleSlots(nn.Cell):
    """Which slots each row sees: rows int32 [11, R], pool size N -> bool [R, N]."""

    def __init__(self, window: int):
        super().__init__(auto_prefix=False)
        self.window = window
        self.matmul, self.gather = ops.MatMul(), ops.Gather()

    def construct(self, rows, slots):
        count = rows.shape[1]
        position, slot = rows[Row.POSITION].reshape(-1, 1), rows[Row.SLOT]
        numbers = ops.arange(0, count)
        parents = ops.cast(rows[Row.PARENT].reshape(-1, 1) == numbers.reshape(1, -1), ms.float32)
        chain = parents + ops.cast(numbers.reshape(-1, 1) == numbers.reshape(1, -1), ms.float32)
        reach = 1
        while reach < count:  # ancestors and self, by doubling
            chain = ops.cast(self.matmul(chain, chain) > 0, ms.float32)
            reach = reach * 2
        # the root's position is the smallest of the chain: as many tokens are committed
        far = ops.cast(position.reshape(1, -1), ms.float32) + (1 - chain) * 1e9
        end = ops.cast(far.min(axis=1, keepdims=True), ms.int32)
        pool = ops.arange(0, slots).reshape(1, -1)
        segment = rows[Row.SEGMENT]
        sees = pool < 0
        for _ in range(MAX_DEPTH):
            known, entry = (segment >= 0).reshape(-1, 1), ops.maximum(segment, 0)
            first = self.gather(rows[Row.SEGMENT_FIRST], entry, 0).reshape(-1, 1)
            held = pool - self.gather(rows[Row.SEGMENT_START], entry, 0).reshape(-1, 1) + first  # position in each slot
            inside = ops.logical_and(ops.logical_and(held >= first, held < end), known)
            if self.window > 0:
                inside = ops.logical_and(inside, held > position - self.window)
            sees = ops.logical_or(sees, inside)
            end = ops.minimum(end, first)
            segment = ops.where(segment >= 0, self.gather(rows[Row.SEGMENT_PARENT], entry, 0), segment)
        here = ops.cast(slot.reshape(-1, 1) == pool, ms.float32)  # [R, N]: where each row of the step is
        placed = self.matmul(chain * ops.cast(rows[Row.SEGMENT].reshape(1, -1) >= 0, ms.float32), here) > 0
        if self.window > 0:
            near = ops.cast(position.reshape(1, -1) > position - self.window, ms.float32)
            placed = ops.logical_and(placed, self.matmul(chain * near, here) > 0)
        return ops.logical_or(sees, placed)


class PoolMask(nn.Cell):
    """The same as an additive mask float32 [R, N]."""

    def __init__(self, window: int):
        super().__init__(auto_prefix=False)
        self.visible = VisibleSlots(window)
        self.open, self.closed = ms.Tensor(np.float32(0)), ms.Tensor(MASKED)

    def construct(self, rows, slots):
        return ops.where(self.visible(rows, slots), self.open, self.closed)


class BuiltinTreeAttention(nn.Cell):
    """construct(q, k, v, k_cache, v_cache, rows, context) -> float32 [R, H, D]; see reference.py."""

    def __init__(self, num_heads: int, num_kv_heads: int, head_dim: int, window: int = 0):
        super().__init__(auto_prefix=False)
        self.heads, self.kv_heads, self.size = num_heads, num_kv_heads, head_dim
        self.groups, self.scale = num_heads // num_kv_heads, float(head_dim**-0.5)
        self.prepare = PoolMask(window)
        self.written = WrittenCache()
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()
        self.softmax, self.sum = ops.Softmax(-1), ops.ReduceSum()

    @staticmethod
    def finite(cache):
        """Keys or values with zeros in place of what is not finite."""
        return ops.where(ops.isfinite(cache), cache, ops.zeros_like(cache))

    def construct(self, q, k, v, k_cache, v_cache, rows, context):
        count, slots, dtype = q.shape[0], k_cache.shape[0], q.dtype
        q = ops.cast(q, k_cache.dtype)
        k_cache, v_cache = self.written(k, v, k_cache, v_cache, rows)
        # what is not finite is a row's own affair: it counts where it is seen, and nowhere else
        sums = self.sum(k_cache, (1, 2)) + self.sum(v_cache, (1, 2))
        context = context + ops.where(context == 0, (sums - sums).reshape(1, -1), ops.zeros_like(context))
        keys, values = self.finite(k_cache).transpose(1, 0, 2), self.finite(v_cache).transpose(1, 0, 2)
        q = q.reshape(count, self.kv_heads, self.groups, self.size).transpose(1, 0, 2, 3)
        scores = self.scores(q.reshape(self.kv_heads, count * self.groups, self.size), keys) * self.scale
        scores = scores.reshape(self.kv_heads, count, self.groups, slots) + context.reshape(1, count, 1, slots)
        weights = self.softmax(scores).reshape(self.kv_heads, count * self.groups, slots)
        y = self.mix(weights, values).reshape(self.kv_heads, count, self.groups, self.size).transpose(1, 0, 2, 3)
        real = ops.cast(rows[Row.SEGMENT] >= 0, ms.float32).reshape(-1, 1, 1)
        return ops.cast(y.reshape(count, self.heads, self.size) * real, dtype)
