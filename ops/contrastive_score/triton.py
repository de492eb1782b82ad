"""contrastive_score in Triton: one program per row, tiles of BLOCK scores, float32 inside.

Two kernels: scores with choice and log-probability, then on request the k best tokens. A row of a large vocabulary is
longer than the unified buffer, so the maximum is found in a first pass over the expert's logits.
"""

import triton
import triton.language as tl

BLOCK = 2048
"""Scores of a tile."""


@triton.jit(do_not_specialize=["V"])
def contrastive_score(
    expert,
    base,
    log_alpha,
    beta,
    allowed,
    scores,
    token,
    logprob,
    maxima,
    V,
    MASKED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """expert, base [P, V], log_alpha and beta float32 [P], allowed int8 [P, V] (read where MASKED) -> scores float32
    [P, V], token int32 [P], logprob float32 [P], maxima float32 [P, cdiv(V, BLOCK)]: the highest score of each tile.
    """
    row = tl.program_id(0)
    tiles = tl.cdiv(V, BLOCK)
    cutoff = tl.load(log_alpha + row)
    b = tl.load(beta + row)
    expert += row * V
    base += row * V
    scores += row * V
    allowed += row * V
    top = float("-inf")
    for start in range(0, V, BLOCK):
        i = start + tl.arange(0, BLOCK)
        e = tl.load(expert + i, mask=i < V, other=float("-inf")).to(tl.float32)
        if MASKED:
            may = tl.load(allowed + i, mask=i < V, other=0).to(tl.float32)
            e = tl.where(may != 0.0, e, float("-inf"))
        top = tl.maximum(top, tl.max(e, 0))
    cutoff = top + cutoff
    chosen = 0
    best = float("-inf")
    total = 0.0
    for start in range(0, V, BLOCK):
        i = start + tl.arange(0, BLOCK)
        e = tl.load(expert + i, mask=i < V, other=float("-inf")).to(tl.float32)
        if MASKED:
            may = tl.load(allowed + i, mask=i < V, other=0).to(tl.float32)
            e = tl.where(may != 0.0, e, float("-inf"))
        a = tl.load(base + i, mask=i < V, other=0.0).to(tl.float32)
        s = e + b * (e - a)
        s = tl.where(b == 0.0, e, s)
        s = tl.where((e >= cutoff) & (e > float("-inf")), s, float("-inf"))
        tl.store(scores + i, s, mask=i < V)
        c = tl.max(s, 0)
        first = tl.min(tl.where(s == c, i, 2147483647), 0)
        higher = tl.maximum(best, c)
        gap = tl.where(s == higher, 0.0, s - higher)  # equal infinities are no gap
        total = total * tl.exp(tl.where(best == higher, 0.0, best - higher)) + tl.sum(tl.exp(gap), 0)
        chosen = tl.where(c > best, first, chosen)
        best = higher
        tl.store(maxima + row * tiles + start // BLOCK, c)
    tl.store(token + row, chosen)
    tl.store(logprob + row, tl.where(best == float("-inf"), best, -tl.log(total)))


@triton.jit(do_not_specialize=["V", "K"])
def best_tokens(scores, maxima, logprob, tokens, logprobs, V, K, TILES: tl.constexpr, BLOCK: tl.constexpr):
    """The K best tokens of a row after `contrastive_score`: int32 [P, K] and their log-probabilities float32 [P, K].

    TILES is a power of two, cdiv(V, BLOCK) or more. Only the tile that holds the next best token is read.
    """
    row = tl.program_id(0)
    tiles = tl.cdiv(V, BLOCK)
    scores += row * V
    t = tl.arange(0, TILES)
    left = tl.load(maxima + row * tiles + t, mask=t < tiles, other=float("-inf"))
    top = tl.max(left, 0)
    chosen = tl.load(logprob + row)
    value = float("inf")
    last = -1
    for k in range(0, K):
        c = tl.max(left, 0)
        tile = tl.min(tl.where(left == c, t, 2147483647), 0)
        i = tile * BLOCK + tl.arange(0, BLOCK)
        s = tl.load(scores + i, mask=i < V, other=float("-inf"))
        later = (s < value) | ((s == value) & (i > last))  # not taken yet
        s = tl.where(later, s, float("-inf"))
        first = tl.min(tl.where(s == c, i, 2147483647), 0)
        none = c == float("-inf")
        gap = tl.where(c == top, 0.0, c - top)
        tl.store(tokens + row * K + k, tl.where(none, -1, first))
        tl.store(logprobs + row * K + k, tl.where(none, float("-inf"), gap + chosen))
        rest = tl.max(tl.where(i == first, float("-inf"), s), 0)
        left = tl.where(t == tile, rest, left)
        value = c
        last = first
