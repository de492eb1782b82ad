"""The contract of tree_verify, in NumPy: which child of a draft tree's node is accepted."""

import numpy as np


def tree_verify(chosen: np.ndarray, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """The accepted child of every node, in any number of draft trees.

    chosen int32 [P]: the token taken at each head (greedy, or one draw); tokens int32 [P]: the draft token of a head's
    node, -1 for a root or padding; parents int32 [P]: the head of the node's parent, always an earlier one,
    -1 for a root or padding. Gives int32 [P]: the child whose token is the chosen one, the first of several, -1 for
    none. From a root, child by child, these are the accepted path; the choice at its last head is the bonus token. One
    choice per node keeps the law of plain decoding, unlike the sampling rule of ADED's code (arXiv 2407.12021).
    """
    accepted = np.full(len(chosen), -1, np.int32)
    for head in range(len(chosen)):
        children = np.flatnonzero((parents == head) & (tokens == chosen[head]))
        if len(children):
            accepted[head] = children[0]
    return accepted
