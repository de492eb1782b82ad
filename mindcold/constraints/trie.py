"""Sequences of token ids as a trie in arrays: what may follow a beginning is one slice."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

MAX_TOKENS = 1 << 28
"""Token ids of all sequences together; building takes some 60 bytes for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Trie:
    """Nodes in the order of their depth, the root first; at most 13 bytes for each."""

    tokens: np.ndarray
    """Token that leads to each node, int32 [nodes], ascending among the children of a node."""
    first: np.ndarray
    """Number of the first child of each node, int64 [nodes + 1]; they end where those of the next node begin."""
    final: np.ndarray
    """Whether a sequence ends at each node, bool [nodes]."""

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]], size: int) -> "Trie":
        """The trie of sequences of ids in 0 .. size - 1, built level by level; ValueError where they are too many."""
        flat, ends = array("i"), array("q", [0])
        for sequence in sequences:
            flat.extend(sequence)
            ends.append(len(flat))
            if len(flat) > MAX_TOKENS:
                raise ValueError(f"more than {MAX_TOKENS} tokens")
        ids, bounds = np.frombuffer(flat, np.int32), np.frombuffer(ends, np.int64)
        starts, lengths = bounds[:-1], np.diff(bounds)
        tokens, parents, final = [np.full(1, -1, np.int32)], [np.zeros(0, np.int64)], [np.zeros(1, bool)]
        alive, node, base, depth = np.arange(len(starts)), np.zeros(len(starts), np.int64), 0, 0
        while len(alive):
            ended = lengths[alive] == depth
            final[-1][node[ended] - base] = True
            alive, node = alive[~ended], node[~ended]
            base += len(final[-1])
            keys, children = np.unique(node * size + ids[starts[alive] + depth], return_inverse=True)
            tokens.append((keys % size).astype(np.int32))
            parents.append(keys // size)
            final.append(np.zeros(len(keys), bool))
            node, depth = base + children.reshape(-1), depth + 1
        count = sum(map(len, tokens))
        children = np.bincount(np.concatenate(parents), minlength=count)
        return cls(np.concatenate(tokens), 1 + np.concatenate([[0], np.cumsum(children)]), np.concatenate(final))

    @property
    def nbytes(self) -> int:
        """Memory, bytes."""
        return self.tokens.nbytes + self.first.nbytes + self.final.nbytes

    def following(self, node: int) -> np.ndarray:
        """Tokens that may follow a node, int32, ascending."""
        return self.tokens[self.first[node] : self.first[node + 1]]

    def step(self, node: int, token: int) -> int | None:
        """The node after one more token, None for none."""
        found = self.following(node)
        place = int(np.searchsorted(found, token))
        return int(self.first[node]) + place if place < len(found) and found[place] == token else None

    def is_final(self, node: int) -> bool:
        """Whether a sequence ends at a node."""
        return bool(self.final[node])
