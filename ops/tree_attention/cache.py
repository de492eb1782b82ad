"""Writing to the KV pool in MindSpore's own operators: moves of accepted paths, and keys and values of a step."""

from mindspore import nn, ops

from mindcold.ops.rows import Row


class WrittenCache(nn.Cell):
    """construct(k, v [R, KV, D], k_cache, v_cache [N, KV, D], rows int32 [11, R]) -> both caches, written.

    The caches are written in place; what comes out makes readers wait for that.
    """

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.update, self.gather, self.concat = ops.ScatterNdUpdate(), ops.Gather(), ops.Concat(axis=0)

    def construct(self, k, v, k_cache, v_cache, rows):
        slots, real, moved = k_cache.shape[0], rows[Row.SEGMENT] >= 0, rows[Row.SOURCE] >= 0
        source = ops.where(moved, rows[Row.SOURCE], slots - 1)  # the last slot is nobody's
        target = ops.where(moved, rows[Row.TARGET], slots - 1)
        places = self.concat((target, ops.where(real, rows[Row.SLOT], slots - 1))).reshape(-1, 1)
        own = real.reshape(-1, 1, 1)
        k, v = ops.cast(k, k_cache.dtype), ops.cast(v, v_cache.dtype)
        # zeros for padding, since a weight of zero does not hide what is not finite; and one write for moves and new
        # keys, since MindSpore was seen to do the first of two after the memory of its operand had another use
        k, v = ops.where(own, k, ops.zeros_like(k)), ops.where(own, v, ops.zeros_like(v))
        new_k = self.concat((self.gather(k_cache, source, 0), k))
        new_v = self.concat((self.gather(v_cache, source, 0), v))
        return (
            ops.depend(k_cache, self.update(k_cache, places, new_k)),
            ops.depend(v_cache, self.update(v_cache, places, new_v)),
        )
