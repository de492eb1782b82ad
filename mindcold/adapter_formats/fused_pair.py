"""One pair for a fused linear layer, and the pairs of the layers it consists of."""

import numpy as np

from mindcold.adapter_formats.layout import join, sizes, split
from mindcold.adapter_formats.stored import StoredPair
from mindcold.config import ModelConfig


def members_of(pair: StoredPair, config: ModelConfig, members: tuple[str, ...], layout: str) -> dict[str, StoredPair]:
    """The pair of each member: A is shared, B is a part of the rows.

    Components that add nothing to a member are left out, and so is a member that all add nothing to, unless none of
    them has an update.
    """
    if len(members) == 1:
        return {members[0]: pair.trimmed()}
    parts = split(pair.b, config, members, layout)
    found = {m: StoredPair(pair.a, np.ascontiguousarray(b), pair.scaling) for m, b in zip(members, parts, strict=True)}
    adapted = {member: part.trimmed() for member, part in found.items() if part.b.any()}
    return adapted or found


def fused(
    parts: dict[str, StoredPair], config: ModelConfig, members: tuple[str, ...], layout: str
) -> tuple[StoredPair, bool]:
    """The pair of a fused layer with the same update, and whether its rank had to grow.

    One A serves all members where it is the same; else their A are stacked, and B has a block for each.
    """
    pairs = list(parts.values())
    if len(members) == 1:
        return pairs[0], False
    first = pairs[0]
    rows = dict(zip(members, sizes(config, members), strict=True))
    if all(np.array_equal(pair.a, first.a) for pair in pairs):
        columns = {member: (pair.b, 0) for member, pair in parts.items()}
        a = first.a
    else:
        starts = np.cumsum([0, *(pair.rank for pair in pairs)])
        columns = {member: (pair.b, int(start)) for (member, pair), start in zip(parts.items(), starts, strict=False)}
        a = np.concatenate([pair.a for pair in pairs])
    blocks = []
    for member in members:
        block = np.zeros((rows[member], a.shape[0]), np.float32)
        if member in columns:
            b, start = columns[member]
            block[:, start : start + b.shape[1]] = b
        blocks.append(block)
    return StoredPair(a, join(blocks, config, members, layout), first.scaling), a is not first.a
