"""trigram_lookup: successors of contexts from a trigram table inside a graph, for devices that draft there.

The contract is reference.lookup. The AKG kernels read a bucket's four entries and keep the one whose two keys match;
see `mindcold.ops.contrastive_score.akg` for the part of the language that is right on CPU.
"""

import mindspore as ms
from mindspore import nn, ops
from mindspore.ops import kernel

from mindcold.ops.hybrid import PINNED

# The names below belong to the hybrid language and are bound when a kernel is parsed or run.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"


@kernel(compile_attrs=PINNED)
def successors(keys, tokens, contexts, buckets):
    """Successors of each context, -1 for none: int32 [n, 4, 2], [n, 4, 12], [B, 2], [B] -> [B, 12]."""
    found = output_tensor((contexts.shape[0], tokens.shape[2]), tokens.dtype)
    for i in range(contexts.shape[0]):
        for j in range(tokens.shape[2]):
            found[i, j] = -1
            for way in range(tokens.shape[1]):
                found[i, j] = (
                    tokens[buckets[i], way, j]
                    if keys[buckets[i], way, 0] == contexts[i, 0] and keys[buckets[i], way, 1] == contexts[i, 1]
                    else found[i, j]
                )
    return found


@kernel(compile_attrs=PINNED)
def successor_weights(keys, weights, contexts, buckets):
    """Their weights, 0 for none: int32 [n, 4, 2], float32 [n, 4, 12], int32 [B, 2], [B] -> float32 [B, 12]."""
    found = output_tensor((contexts.shape[0], weights.shape[2]), weights.dtype)
    for i in range(contexts.shape[0]):
        for j in range(weights.shape[2]):
            found[i, j] = 0.0
            for way in range(weights.shape[1]):
                found[i, j] = (
                    weights[buckets[i], way, j]
                    if keys[buckets[i], way, 0] == contexts[i, 0] and keys[buckets[i], way, 1] == contexts[i, 1]
                    else found[i, j]
                )
    return found


KERNELS = (successors, successor_weights)


class AkgTrigramLookup(nn.Cell):
    """construct(keys, tokens, weights, contexts, buckets) -> successors int32 [B, 12], weights float32 [B, 12]."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.successors = ops.Custom(successors, func_type="hybrid")
        self.weights = ops.Custom(successor_weights, func_type="hybrid")

    def construct(self, keys, tokens, weights, contexts, buckets):
        return self.successors(keys, tokens, contexts, buckets), self.weights(keys, weights, contexts, buckets)


class BuiltinTrigramLookup(nn.Cell):
    """The same in MindSpore's own operators."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.gather, self.all, self.sum = ops.Gather(), ops.ReduceAll(), ops.ReduceSum()

    def construct(self, keys, tokens, weights, contexts, buckets):
        match = self.all(self.gather(keys, buckets, 0) == contexts[:, None], -1)
        match = match[:, :, None]
        one = match.astype("int32")
        tokens = self.sum((self.gather(tokens, buckets, 0) + 1) * one, 1) - 1
        return tokens, self.sum(self.gather(weights, buckets, 0) * match.astype(ms.float32), 1)
