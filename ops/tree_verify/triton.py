"""tree_verify in Triton: one program per head, no store depends on data."""

import triton
import triton.language as tl

BLOCK = 256
"""Heads of a tile."""


@triton.jit(do_not_specialize=["P"])
def tree_verify(chosen, tokens, parents, accepted, P, BLOCK: tl.constexpr):
    """chosen, tokens, parents int32 [P] -> accepted int32 [P]: see reference.py."""
    head = tl.program_id(0)
    token = tl.load(chosen + head)
    first = 2147483647
    for start in range(0, P, BLOCK):
        i = start + tl.arange(0, BLOCK)
        draft = tl.load(tokens + i, mask=i < P, other=-1)
        parent = tl.load(parents + i, mask=i < P, other=-1)
        child = (draft == token) & (parent == head)
        first = tl.minimum(first, tl.min(tl.where(child, i, 2147483647), 0))
    tl.store(accepted + head, tl.where(first == 2147483647, -1, first))
