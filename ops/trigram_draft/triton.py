"""The look-up of trigram_draft in Triton: contexts to entries of a table, one program per context.

The tree itself stays on the host: it recalls runs of the text from a dictionary and orders nodes by float64.
"""

import triton
import triton.language as tl

LANES = 16
"""Lanes for the successors of an entry (12 of them are used)."""


@triton.jit(do_not_specialize=["BUCKETS"])
def trigram_lookup(
    first,
    second,
    keys,
    tokens,
    weights,
    place,
    found_tokens,
    found_weights,
    BUCKETS,
    WAYS: tl.constexpr,
    SUCCESSORS: tl.constexpr,
    LANES: tl.constexpr,
):
    """Contexts (first, second) int32 [Q] in a table (keys int32 [n, WAYS, 2], tokens int32 and weights float32
    [n, WAYS, SUCCESSORS]) -> place int32 [Q], bucket * WAYS + way or -1; the entry's tokens and weights
    [Q, SUCCESSORS], -1 and 0 where there is none. See table.find.
    """
    query = tl.program_id(0)
    a = tl.load(first + query)
    b = tl.load(second + query)
    low = 0xFFFFFFFF
    mixed = (a.to(tl.int64) * 0x9E3779B1 + b.to(tl.int64) * 0x85EBCA77 + 0x27D4EB2F) & low
    mixed = ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D) & low
    mixed = mixed ^ (mixed >> 13)
    bucket = (mixed % BUCKETS).to(tl.int32)
    way = tl.arange(0, WAYS)
    entry = bucket * WAYS + way
    same = (tl.load(keys + entry * 2) == a) & (tl.load(keys + entry * 2 + 1) == b)
    hit = tl.min(tl.where(same, way, WAYS), 0)
    known = hit < WAYS
    line = bucket * WAYS + tl.where(known, hit, 0)
    lane = tl.arange(0, LANES)
    used = lane < SUCCESSORS
    token = tl.load(tokens + line * SUCCESSORS + lane, mask=used, other=-1)
    weight = tl.load(weights + line * SUCCESSORS + lane, mask=used, other=0.0)
    tl.store(place + query, tl.where(known, line, -1))
    tl.store(found_tokens + query * SUCCESSORS + lane, tl.where(known, token, -1), mask=used)
    tl.store(found_weights + query * SUCCESSORS + lane, tl.where(known, weight, 0.0), mask=used)
