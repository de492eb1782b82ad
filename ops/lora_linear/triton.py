"""The low-rank part of lora_linear in Triton: a batched gather matrix-vector product, in two kernels.

Each row has an adapter id; rows without one (id < 0) read and write nothing. Float32 inside. (CoLD, arXiv 2505.14620,
section on the serving kernel; shrink and expand as in Punica, arXiv 2310.18547.)
"""

import triton
import triton.language as tl

RANKS = 8
"""Ranks a program of lora_shrink takes."""

WIDTH = 512
"""Inputs of a tile of lora_shrink."""

BLOCK = 2048
"""Outputs of a tile of lora_expand."""


@triton.jit(do_not_specialize=["H", "RANK"])
def lora_shrink(x, a, adapter, middle, H, RANK, RANKS: tl.constexpr, WIDTH: tl.constexpr):
    """x [R, H], a [adapters, RANK, H], adapter int32 [R] -> middle float32 [R, RANK] = x A^T.

    Grid (R, RANK / RANKS); RANK is a multiple of RANKS.
    """
    row = tl.program_id(0)
    r = tl.program_id(1) * RANKS + tl.arange(0, RANKS)
    mine = tl.load(adapter + row)
    if mine >= 0:
        total = tl.zeros((RANKS,), tl.float32)
        for start in range(0, H, WIDTH):
            h = start + tl.arange(0, WIDTH)
            part = tl.load(x + row * H + h, mask=h < H, other=0.0).to(tl.float32)
            at = mine * RANK * H + r[:, None] * H + h[None, :]
            weight = tl.load(a + at, mask=(h < H)[None, :], other=0.0).to(tl.float32)
            total += tl.sum(weight * part[None, :], 1)
        tl.store(middle + row * RANK + r, total)


@triton.jit(do_not_specialize=["FIRST", "OUT", "Y", "RANK"])
def lora_expand(middle, b, adapter, y, FIRST, OUT, Y, RANK, BLOCK: tl.constexpr):
    """middle float32 [R, RANK], b [adapters, RANK, OUT] (transposed, scaled), adapter int32 [R]: y [R, Y] from column
    FIRST on += middle B^T, in float32, rounded once. Grid (R, cdiv(OUT, BLOCK)).
    """
    row = tl.program_id(0)
    o = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mine = tl.load(adapter + row)
    if mine >= 0:
        place = y + row * Y + FIRST + o
        before = tl.load(place, mask=o < OUT, other=0.0)
        total = tl.zeros((BLOCK,), tl.float32)
        for r in range(0, RANK):
            scale = tl.load(middle + row * RANK + r)
            total += scale * tl.load(b + (mine * RANK + r) * OUT + o, mask=o < OUT, other=0.0).to(tl.float32)
        tl.store(place, (before.to(tl.float32) + total).to(before.dtype), mask=o < OUT)
