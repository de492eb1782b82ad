"""Cross-entropy of the positions that carry a label, with its gradient."""

import mindspore as ms
from mindspore import nn, ops

from mindcold.ops import frozen_matmul
from mindcold.training.layer import norm, norm_backward

IGNORED = -100
"""Label of positions that do not count in the loss."""

SLICE = 256
"""Positions whose logits are in memory at a time: those of one graph, since MindSpore runs ahead within a graph."""


class HeadLoss(nn.Cell):
    """Final norm, output projection and loss of some positions.

    construct(x [T, hidden], places int32 [P] of rows of x, labels int32 [P] (IGNORED where a place is none), scale
    float32 scalar, norm weight [hidden], head [vocab, hidden] and with `packed` its two packed forms) -> scale * sum of
    the cross-entropies in nats, float32 scalar; with `gradient` also the gradient of x and, with `trained`, those of
    norm and head. The gradient is computed beside the logits, which are then forgotten.
    """

    def __init__(self, vocab: int, epsilon: float, gradient: bool, trained: bool, packed: bool, hidden: int):
        super().__init__(auto_prefix=False)
        self.vocab, self.epsilon, self.gradient, self.trained = vocab, epsilon, gradient, trained
        self.by_rows, self.plain = ops.MatMul(transpose_b=True), ops.MatMul()
        self.by_columns, self.segments = ops.MatMul(transpose_a=True), ops.UnsortedSegmentSum()
        self.gather = ops.Gather()
        self.forth, self.back = self.by_rows, self.plain
        if packed:
            self.forth, self.back = frozen_matmul.body(outputs=vocab), frozen_matmul.body(outputs=hidden)

    def construct(self, x, places, labels, scale, weight, head, *packed):
        forth = packed[0] if len(packed) else head
        back = packed[1] if len(packed) else head
        counts = ops.cast(labels != IGNORED, ms.float32).reshape(-1, 1) * scale
        labels = ops.maximum(labels, 0)
        picked = self.gather(x, places, 0)
        hidden = norm(picked, weight, self.epsilon)
        wanted = self.gather(head, labels, 0)
        logits = self.forth(hidden, forth)
        highest = logits.max(-1, keepdims=True)
        exponentials = ops.exp(logits - highest)
        sums = exponentials.sum(-1, keepdims=True)
        losses = ops.log(sums) + highest - (hidden * wanted).sum(-1, keepdims=True)
        total = (losses * counts).sum()
        if not self.gradient:
            return total
        d = exponentials * (counts / sums)
        dx, of_norm = norm_backward(picked, weight, self.back(d, back) - wanted * counts, self.epsilon)
        dx = self.segments(dx, places, x.shape[0])
        if not self.trained:
            return total, dx
        of_head = self.by_columns(d, hidden) - self.segments(hidden * counts, labels, self.vocab)
        return total, dx, of_norm.sum(0), of_head


class Logits(nn.Cell):
    """x [T, hidden], norm weight, head (and its packed forms) -> logits [T, vocab] of every position, in float32."""

    def __init__(self, epsilon: float):
        super().__init__(auto_prefix=False)
        self.epsilon, self.by_rows = epsilon, ops.MatMul(transpose_b=True)

    def construct(self, x, weight, head, *packed):
        return self.by_rows(norm(x, weight, self.epsilon), head)
