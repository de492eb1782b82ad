"""The contract of tree_attention, in NumPy."""

import numpy as np


def visible(rows: np.ndarray, row: int, window: int) -> list[int]:
    """Cells a row attends to, in the order of their positions: the committed ones, then its ancestors and itself."""
    _, start, position, cell, parent, *_ = rows
    chain = [row]
    while parent[chain[-1]] >= 0:
        chain.append(parent[chain[-1]])
    chain.reverse()
    root = position[chain[0]]
    first = max(0, position[row] - window + 1) if window else 0
    committed = [start[row] + p for p in range(first, root)]
    return committed + [cell[i] for i in chain if position[i] >= first]


def tree_attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    k_cache: np.ndarray,
    v_cache: np.ndarray,
    rows: np.ndarray,
    window: int = 0,
) -> np.ndarray:
    """Attention of the rows of a step over their sequences' KV cells, after moves and appends in the caches.

    q float32 [R, H, D], k and v float32 [R, KV, D] (rotary embedding applied), k_cache and v_cache float32 [N, KV, D]
    (changed in place), rows int32 [8, R] with the lines token, start, position, cell, parent, adapter, source, target.
    Returns float32 [R, H, D].

    * first the cells `source` are copied to the cells `target` (-1 for none; for each sequence in ascending order, and
      never to a later cell): so the path of a draft tree that was accepted in the step before becomes part of its
      sequence, at the price of these few copies;
    * then k and v of the rows are written into the caches;
    * start is the first cell of the row's sequence, -1 for a padding row, which writes nothing and gives zeros;
    * position is the token's place in its sequence, cell where its k and v go, parent the row it follows in this step
      (always an earlier one) or -1 if it follows the committed cells start .. start + position - 1;
    * a row sees the committed cells, its ancestors in the step and itself, and with `window` > 0 only keys at
      positions above its own - window (the sliding window of transformers);
    * query head h uses key head h * KV // H; scale 1 / sqrt(D); softmax in float32.

    The last cell N - 1 belongs to no sequence: bodies may write padding rows there. A row's result does not depend on
    the other rows of the step beyond its ancestors.
    """
    count, heads, size = q.shape
    groups = heads // k.shape[1]
    start, cell = rows[1], rows[3]
    for source, target in zip(rows[6], rows[7], strict=True):
        if source >= 0:
            k_cache[target], v_cache[target] = k_cache[source], v_cache[source]
    for row in range(count):
        if start[row] >= 0:
            k_cache[cell[row]], v_cache[cell[row]] = k[row], v[row]
    out = np.zeros_like(q)
    for row in range(count):
        if start[row] < 0:
            continue
        cells = visible(rows, row, window)
        for head in range(heads):
            scores = k_cache[cells, head // groups] @ q[row, head] / np.sqrt(np.float32(size))
            weights = np.exp(scores - scores.max())
            out[row, head] = (weights / weights.sum()) @ v_cache[cells, head // groups]
    return out
