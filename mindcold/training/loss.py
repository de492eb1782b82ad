"""Cross-entropy of the positions that count, against what is to be learned there, with its gradient."""

from dataclasses import dataclass

import mindspore as ms
from mindspore import nn, ops

from mindcold.training.layer import norm, norm_backward
from mindcold.training.linear import Linear, LinearPlan

SLICE, WHOLE_SLICE = 64, 256
"""Positions whose logits are in memory at a time: those of one graph, since MindSpore runs ahead within a graph.

The graph takes several times the memory of its logits. More at a time where the head itself is trained, whose
gradient is as large as it is and has to be added up.
"""


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """What the graphs of the final norm and the output projection depend on."""

    shape: tuple[int, int]
    """[vocab, hidden]."""
    epsilon: float
    linear: LinearPlan
    norm_trained: bool


class HeadLoss(nn.Cell):
    """Final norm, output projection and loss of some positions.

    construct(x [T, hidden], places int32 [P] of rows of x, targets int32 [P, K] with their shares float32 [P, K] (0
    where a place is none), scale float32 scalar, norm weight [hidden], head [vocab, hidden], then the operands of the
    linear layer, without its weight where that is the head itself; noise is [T, 1]) -> scale * sum of the
    cross-entropies in nats, float32 scalar; with `gradient` also the gradient of x and those of what is trained: norm,
    head, A and B. The gradient is computed beside the logits, which are then forgotten; what targets take from their
    own logits is no matrix [P, vocab] but added where it belongs: their lines of the head are averaged, for the logits
    are linear in them.
    """

    def __init__(self, plan: HeadPlan, gradient: bool):
        super().__init__(auto_prefix=False)
        self.vocab, self.epsilon, self.gradient = plan.shape[0], plan.epsilon, gradient
        self.norm_trained, self.packed = plan.norm_trained, plan.linear.packed
        self.linear = Linear(plan.linear, 0, plan.shape)
        self.by_rows, self.plain = ops.MatMul(transpose_b=True), ops.MatMul()
        self.by_columns, self.segments = ops.MatMul(transpose_a=True), ops.UnsortedSegmentSum()
        self.gather = ops.Gather()

    def average(self, table, targets, shares):
        """Lines of the targets, table [vocab, n] -> [P, n]."""
        return (self.gather(table, targets, 0) * shares.expand_dims(2)).sum(1)

    def spread(self, rows, targets, shares):
        """The other way: rows [P, n] -> [vocab, n]."""
        parts = rows.expand_dims(1) * shares.expand_dims(2)
        return self.segments(parts.reshape(-1, rows.shape[1]), targets.reshape(-1), self.vocab)

    def construct(self, x, places, targets, shares, scale, weight, head, *operands):
        linear = self.linear
        if not self.packed:
            operands = (head, *operands)
        if linear.noisy:
            operands = (*operands[:-1], self.gather(operands[-1], places, 0))
        counts = shares.sum(1, keepdims=True) * scale
        picked = self.gather(x, places, 0)
        hidden = norm(picked, weight, self.epsilon)
        wanted = self.average(head, targets, shares)
        logits = linear(hidden, operands)
        highest = logits.max(-1, keepdims=True)
        exponentials = ops.exp(logits - highest)
        sums = exponentials.sum(-1, keepdims=True)
        own = (hidden * wanted).sum(-1, keepdims=True)
        low = z = wanted_b = hidden
        if linear.adapted:
            if linear.noisy:
                low = hidden * linear.mask(operands)
            z = self.by_rows(low, operands[linear.a]) * linear.scaling
            wanted_b = self.average(operands[linear.b], targets, shares)
            own = own + (z * wanted_b).sum(-1, keepdims=True)
        # in float32 the last digit of a logarithm depends on how MindSpore deals the positions out to threads, which it
        # tries out in the first launches of a process: a resumed run would have other losses
        logarithms = ops.cast(ops.log(ops.cast(sums, ms.float64)), ms.float32)
        losses = logarithms + highest - own
        total = (losses * counts).sum()
        if not self.gradient:
            return total
        factor = counts / sums  # of the rows of the gradient, taken out of it: it is as large as the logits
        dh, gradients = linear.backward(hidden * factor, exponentials, operands)
        dh = dh * factor - wanted * counts
        if linear.trained:
            gradients = (gradients[0] - self.spread(hidden * counts, targets, shares),)
        if linear.adapted:
            dz = wanted_b * (counts * linear.scaling)
            narrow = self.plain(dz, operands[linear.a])
            if linear.noisy:
                narrow = narrow * linear.mask(operands)
            dh = dh - narrow
            of_b = gradients[1] - self.spread(z * counts, targets, shares)
            gradients = (gradients[0] - self.by_columns(dz, low), of_b)
        dx, of_norm = norm_backward(picked, weight, dh, self.epsilon)
        dx = self.segments(dx, places, x.shape[0])
        if self.norm_trained:
            gradients = (of_norm.sum(0), *gradients)
        return (total, dx, *gradients)


class Logits(nn.Cell):
    """x [T, hidden], norm weight, head, A and B where it has them -> logits [T, vocab] of every position, float32."""

    def __init__(self, plan: HeadPlan):
        super().__init__(auto_prefix=False)
        self.epsilon = plan.epsilon
        self.linear = Linear(LinearPlan(False, False, plan.linear.rank, plan.linear.scaling), 0, plan.shape)

    def construct(self, x, weight, head, *pair):
        return self.linear(norm(x, weight, self.epsilon), (head, *pair))
