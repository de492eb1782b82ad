"""The contract of tree_attention, in NumPy."""

import numpy as np

from mindcold.ops.rows import Row


def committed_slots(rows: np.ndarray, segment: int, first: int, end: int) -> list[int]:
    """Slots of the positions first .. end - 1 of the sequence whose last segment this is, in order."""
    slots: list[int] = []
    while segment >= 0:
        begin = max(first, rows[Row.SEGMENT_FIRST, segment])
        offset = rows[Row.SEGMENT_START, segment] - rows[Row.SEGMENT_FIRST, segment]
        slots = [offset + p for p in range(begin, end)] + slots
        end = min(end, begin)
        segment = rows[Row.SEGMENT_PARENT, segment]
    return slots


def visible(rows: np.ndarray, row: int, window: int) -> list[int]:
    """Slots a row attends to, in the order of their positions: the committed ones, then its ancestors and itself."""
    position, parent = rows[Row.POSITION], rows[Row.PARENT]
    chain = [row]
    while parent[chain[-1]] >= 0:
        chain.append(parent[chain[-1]])
    chain.reverse()
    first = max(0, position[row] - window + 1) if window else 0
    committed = committed_slots(rows, rows[Row.SEGMENT, row], first, position[chain[0]])
    return committed + [rows[Row.SLOT, i] for i in chain if position[i] >= first]


def tree_attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    k_cache: np.ndarray,
    v_cache: np.ndarray,
    rows: np.ndarray,
    window: int = 0,
) -> np.ndarray:
    """Attention of the rows of a step over their sequences' KV slots, after moves and appends in the caches.

    q float32 [R, H, D], k and v float32 [R, KV, D] (rotary embedding applied), k_cache and v_cache [N, KV, D] in
    float32 or bfloat16 (changed in place, k and v rounded to their dtype), rows int32 [11, R] with the lines of
    `mindcold.ops.rows.Row`. Returns float32 [R, H, D].

    * first the slots SOURCE are copied to the slots TARGET (-1 for none; for each sequence in ascending order, and
      never to a later slot): so the path of a draft tree that was accepted in the step before becomes part of its
      sequence, at the price of these few copies;
    * then k and v of the rows are written into the caches;
    * a sequence is a chain of up to MAX_DEPTH segments, each a run of tokens in consecutive slots, so that sequences
      that branch share what they have in common. SEGMENT is the last segment of the row's sequence, -1 for a padding
      row, which writes nothing and gives zeros. Segment s holds the positions SEGMENT_FIRST[s] up to the
      SEGMENT_FIRST of the next in the chain (or up to the committed length), position p in the slot
      SEGMENT_START[s] + p - SEGMENT_FIRST[s]; what is before is in SEGMENT_PARENT[s], -1 for nothing;
    * POSITION is the token's place in its sequence, SLOT where its k and v go, PARENT the row it follows in this step
      (always an earlier one) or -1 if it follows the committed positions 0 .. POSITION - 1;
    * a row sees the committed positions, its ancestors in the step and itself, and with `window` > 0 only keys at
      positions above its own - window (the sliding window of transformers);
    * query head h uses key head h * KV // H; scale 1 / sqrt(D); softmax in float32.

    Slot N - 1 belongs to no sequence: bodies may write padding rows there. A row's result does not depend on the other
    rows of the step beyond its ancestors, and here and in C++ not on how its sequence is divided into segments either:
    keys come in the order of their positions, to the bit.
    """
    _, heads, size = q.shape
    groups = heads // k.shape[1]
    slot, real = rows[Row.SLOT], rows[Row.SEGMENT] >= 0
    for source, target in zip(rows[Row.SOURCE], rows[Row.TARGET], strict=True):
        if source >= 0:
            k_cache[target], v_cache[target] = k_cache[source], v_cache[source]
    k_cache[slot[real]], v_cache[slot[real]] = k[real], v[real]
    out = np.zeros_like(q)
    for row in np.flatnonzero(real):
        slots = visible(rows, row, window)
        for head in range(heads):
            scores = k_cache[slots, head // groups].astype(np.float32) @ q[row, head] / np.sqrt(np.float32(size))
            weights = np.exp(scores - scores.max())
            out[row, head] = (weights / weights.sum()) @ v_cache[slots, head // groups].astype(np.float32)
    return out
