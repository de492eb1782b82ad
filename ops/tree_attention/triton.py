"""The moves of tree_attention in Triton: the accepted path of a draft tree joins its sequence in the KV cache."""

import triton
import triton.language as tl

BLOCK = 1024
"""Elements of a slot a program moves at once."""


@triton.jit(do_not_specialize=["N", "W", "MOVES"])
def kv_commit(cache, source, target, N, W, MOVES, BLOCK: tl.constexpr):
    """cache [caches, N, W], keys and values of layers; source, target int32 [MOVES]: slot `source` to slot `target`, in
    order, -1 for none. In place. Grid (caches, cdiv(W, BLOCK)).

    The moves are those of tree_attention's reference: within a sequence ascending and never to a later slot, so that
    no move reads what an earlier one wrote. A move that is none copies the last slot, which is nobody's, to itself.
    """
    cache += tl.program_id(0).to(tl.int64) * N * W
    w = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    for move in range(0, MOVES):
        s = tl.load(source + move)
        t = tl.load(target + move)
        t = tl.where(s >= 0, t, N - 1)
        s = tl.where(s >= 0, s, N - 1)
        moved = tl.load(cache + s.to(tl.int64) * W + w, mask=w < W)
        tl.store(cache + t.to(tl.int64) * W + w, moved, mask=w < W)
