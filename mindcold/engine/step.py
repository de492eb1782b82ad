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
        self.lines, self.stack, self.concat = ops.Unstack(), ops.Stack(), ops.Concat()

    @staticmethod
    def in_graph(backend: str) -> bool:
        """Whether the bodies of its operators can be part of a graph."""
        return contrastive_score.choose(backend).in_graph and tree_verify.choose(backend).in_graph

    def construct(self, rows, heads, alpha_beta, allowed=None):
        lines = self.lines(heads)  # an index of a tensor takes far longer to compile
        if self.contrast:
            logits = self.network(rows, self.concat(lines[:2]))
            out = self.score.stacked(logits, alpha_beta, allowed)
            logprob = self.score.checked_stacked(out[2], logits, alpha_beta)
        else:
            logits = self.network(rows, lines[0])
            out = self.score(logits, logits, alpha_beta, allowed)
            logprob = self.score.checked(out[2], logits, logits, alpha_beta)
        return self.chosen(out, logprob, lines[2], lines[3])

    def chosen(self, out, logprob, tokens, parents):
        """What the step gives, of the score's outputs, checked log-probabilities, and the heads' tokens and parents."""
        chosen = self.stack((out[1], self.verify(out[1], tokens, parents)))
        return ((chosen, logprob, out[0]) if self.scores else (chosen, logprob)) + out[3:]


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
        return step.chosen(out, step.score.checked(out[2], expert, base, weights[0]), tokens, parents)

    def release(self) -> None:
        """See Graph."""
        self._network.release()
