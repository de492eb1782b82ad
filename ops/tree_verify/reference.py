"""The contract of tree_verify, in NumPy: which nodes of a draft tree came true."""

import numpy as np


def tree_verify(chosen: np.ndarray, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Follow the choices of the target down any number of draft trees.

    chosen int32 [P]: the token taken at each head (greedy, or one draw); tokens int32 [P]: the draft token of a head's
    node, -1 for a root or padding; parents int32 [P]: the head of the node's parent, always an earlier one,
    -1 for a root or padding. Gives int32 [4, P]: the choice again; the child whose token it is, the first of several,
    -1 for none; the last head of the path that starts here; and how many draft tokens are on it. At a root these are
    the accepted path, its length and, by the choice at its last head, the bonus token. One choice per node keeps the
    law of plain decoding, unlike the sampling rule of ADED's code (arXiv 2407.12021).
    """
    count = len(chosen)
    follow = np.full(count, -1, np.int32)
    last = np.arange(count, dtype=np.int32)
    length = np.zeros(count, np.int32)
    for head in range(count - 1, -1, -1):
        children = np.flatnonzero((parents == head) & (tokens == chosen[head]))
        if len(children):
            child = follow[head] = children[0]
            last[head], length[head] = last[child], length[child] + 1
    return np.stack([chosen, follow, last, length]).astype(np.int32)
