"""tree_attention on Ascend: one fused attention of all rows over the whole pool, under a mask of any shape."""

from mindspore import nn, ops

from mindcold.errors import OperatorError
from mindcold.ops.rows import Row
from mindcold.ops.tree_attention.builtin import VisibleSlots
from mindcold.ops.tree_attention.cache import WrittenCache

ALL_MASK = 1
"""sparse_mode in which the mask [R, N] is taken as it is."""
ROWS_WITHOUT_KEYS = 2
"""inner_precise of sums in float32, with rows that see nothing (padding) put right."""


class HiddenSlots(nn.Cell):
    """The mask of the fused attention: rows int32 [11, R], pool size N -> bool [R, N], True for what is discarded."""

    def __init__(self, window: int):
        super().__init__(auto_prefix=False)
        self.visible = VisibleSlots(window)

    def construct(self, rows, slots):
        return ops.logical_not(self.visible(rows, slots))


class AscendTreeAttention(nn.Cell):
    """construct(q, k, v, k_cache, v_cache, rows, context) -> [R, H, D] in the dtype of q; see reference.py.

    `mindspore.ops.fused_infer_attention_score` in its layout BSH: queries [1, R, H D], and the pool as it is, as the
    keys and values [1, N, KV D] of one long sequence. So it takes draft trees, shared segments and any number of rows,
    and reads every key once for all rows. (PagedAttention and ReshapeAndCache have, by their documentation, no backend
    in MindSpore; the fused attention takes a block table for single rows alone.) Keys and values are written by
    ScatterNdUpdate, with the moves of the accepted paths in the same call.
    """

    def __init__(self, num_heads: int, num_kv_heads: int, head_dim: int, window: int = 0):
        super().__init__(auto_prefix=False)
        for reason in (
            head_dim % 16 and f"head_dim {head_dim} is not a multiple of 16",
            head_dim > 512 and f"head_dim {head_dim} is above 512",
            num_heads > 256 and f"{num_heads} query heads are above 256",
            num_heads > 64 * num_kv_heads and f"{num_heads} query heads are above 64 times {num_kv_heads} key heads",
        ):
            if reason:
                raise OperatorError(f"tree_attention: body 'ascend': {reason}; use backend='builtin'")
        self.heads, self.kv_heads, self.size = num_heads, num_kv_heads, head_dim
        self.scale = float(head_dim**-0.5)
        self.prepare = HiddenSlots(window)
        self.written = WrittenCache()

    def construct(self, q, k, v, k_cache, v_cache, rows, context):
        slots = k_cache.shape[0]
        k_cache, v_cache = self.written(k, v, k_cache, v_cache, rows)
        y = ops.fused_infer_attention_score(
            ops.cast(q, k_cache.dtype).reshape(1, -1, self.heads * self.size),
            k_cache.reshape(1, slots, self.kv_heads * self.size),
            v_cache.reshape(1, slots, self.kv_heads * self.size),
            atten_mask=context,
            num_heads=self.heads,
            scale=self.scale,
            input_layout="BSH",
            num_key_value_heads=self.kv_heads,
            sparse_mode=ALL_MASK,
            inner_precise=ROWS_WITHOUT_KEYS,
        )[0]
        own = (rows[Row.SEGMENT] >= 0).reshape(-1, 1, 1)
        return ops.where(own, ops.cast(y.reshape(q.shape), q.dtype), ops.zeros_like(q))
