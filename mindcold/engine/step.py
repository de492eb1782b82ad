"""The compiled unit: rows through the network, the score and choice of each head, and the draft tokens it accepts."""

from mindspore import nn, ops

from mindcold.ops import contrastive_score, tree_verify


class ScoreStep(nn.Cell):
    """One decoding step as one graph.

    construct(rows int32 [11, R], heads int32 [4, P], alpha_beta float32 [P, 2], allowed int8 [P, vocab] or None) ->
    chosen int32 [2, P] (the token of each head, and the head of the draft node it accepts, -1 for none), logprob
    float32 [P], with `scores` the scores float32 [P, vocab], and with `best` = k > 0 the k best tokens int32 [P, k] and
    their log-probabilities float32 [P, k]. The lines of `heads` are the expert's row, the
    amateur's (-1 for none), the draft token and the head of its parent. Without `contrast` no head has an amateur, and
    only P rows go through the output projection.
    """

    def __init__(self, network: nn.Cell, contrast: bool, scores: bool, backend: str = "auto", best: int = 0):
        super().__init__(auto_prefix=False)
        self.network, self.contrast, self.scores = network, contrast, scores
        self.score, self.verify = contrastive_score.body(backend, best=best), tree_verify.body(backend)
        self.stack = ops.Stack()

    def construct(self, rows, heads, alpha_beta, allowed=None):
        if self.contrast:
            logits = self.network(rows, heads[:2].reshape(-1))
            out = self.score.stacked(logits, alpha_beta, allowed)
        else:
            logits = self.network(rows, heads[0])
            out = self.score(logits, logits, alpha_beta, allowed)
        scores, token, logprob = out[:3]
        chosen = self.stack((token, self.verify(token, heads[2], heads[3])))
        return ((chosen, logprob, scores) if self.scores else (chosen, logprob)) + out[3:]
