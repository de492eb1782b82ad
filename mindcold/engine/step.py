"""The compiled unit: rows through the network, the score and choice of each head, and the draft tokens it accepts."""

from typing import Any

import mindspore as ms
from mindspore import nn, ops

from mindcold.engine.graph import Graph
from mindcold.ops import contrastive_score, tree_verify


class ScoreStep(nn.Cell):
    """One decoding step as one graph.

    construct(rows int32 [11, R], heads int32 [4, P], alpha_beta float32 [P, 2], allowed int8 [P, vocab] or None) ->
    chosen int32 [2, P] (the token of each head, and the head of the draft node it accepts, -1 for none), logprob
    float32 [P], with `scores` the scores float32 [P, vocab], and with `best` = k > 0 the k best tokens int32 [P, k] and
    their log-probabilities float32 [P, k]. The lines of `heads` are the expert's row, the
    amateur's (-1 for none), the draft token and the head of its parent. Without `contrast` no head has an amateur, and
    only P rows go through the output projection. A head with a logit that is NaN or infinite has log-probability NaN.
    """

    def __init__(self, network: nn.Cell, contrast: bool, scores: bool, backend: str = "auto", best: int = 0):
        super().__init__(auto_prefix=False)
        self.network, self.contrast, self.scores = network, contrast, scores
        self.score, self.verify = contrastive_score.body(backend, best=best), tree_verify.body(backend)
        self.stack, self.sum = ops.Stack(), ops.ReduceSum()
        self.lines, self.columns, self.concat = ops.Unstack(), ops.Unstack(axis=1), ops.Concat()

    @staticmethod
    def in_graph(backend: str) -> bool:
        """Whether the bodies of its operators can be part of a graph."""
        return contrastive_score.choose(backend).in_graph and tree_verify.choose(backend).in_graph

    def construct(self, rows, heads, alpha_beta, allowed=None):
        lines = self.lines(heads)  # an index of a tensor takes far longer to compile
        if self.contrast:
            logits = self.network(rows, self.concat(lines[:2]))
            out = self.score.stacked(logits, alpha_beta, allowed)
            sums = self.sum(logits, -1)
            expert, base = sums[: alpha_beta.shape[0]], sums[alpha_beta.shape[0] :]
        else:
            logits = self.network(rows, lines[0])
            out = self.score(logits, logits, alpha_beta, allowed)
            expert = base = self.sum(logits, -1)
        return self.chosen(out, expert, base, alpha_beta, lines[2], lines[3])

    def chosen(self, out, expert, base, alpha_beta, tokens, parents):
        """What the step gives: of the score's outputs, each head's sums of logits, its token and its parent."""
        scores, token, logprob = out[:3]
        beta = self.columns(alpha_beta)[1]
        read = ops.select(beta == 0, expert, base)  # where beta is 0 the amateur may hold anything
        logprob = logprob + (expert - expert) + (read - read)  # nothing, or NaN; a constant NaN is lost in graphs
        chosen = self.stack((token, self.verify(token, tokens, parents)))
        return ((chosen, logprob, scores) if self.scores else (chosen, logprob)) + out[3:]


class ExpertAndBase(nn.Cell):
    """The network of a step that is scored outside of the graph: logits of the experts and of the amateurs [P, vocab].

    They are two tensors, or the experts' twice.
    """

    def __init__(self, network: nn.Cell, contrast: bool):
        super().__init__(auto_prefix=False)
        self.network, self.contrast = network, contrast

    def construct(self, rows, heads):
        if self.contrast:
            logits, count = self.network(rows, heads[:2].reshape(-1)), heads.shape[1]
            return logits[:count], logits[count:]
        logits = self.network(rows, heads[0])
        return logits, logits


class ScoreBetweenGraphs:
    """A ScoreStep whose network alone is a graph: its operators are called, where their bodies cannot be compiled."""

    def __init__(self, step: ScoreStep):
        self._step = step
        self._network = Graph(ExpertAndBase(step.network, step.contrast))

    def __call__(self, *arguments: ms.Tensor) -> Any:
        """The arguments and results of ScoreStep."""
        rows, heads, *weights = arguments
        tokens, parents = (ms.Tensor(line) for line in heads.asnumpy()[2:].copy())
        expert, base = self._network(rows, heads)
        step, out = self._step, self._step.score(expert, base, *weights)
        return step.chosen(out, step.sum(expert, -1), step.sum(base, -1), weights[0], tokens, parents)

    def release(self) -> None:
        """See Graph."""
        self._network.release()
