"""The compiled unit: rows through the network, the score and choice of each head, and what came true of drafts."""

from mindspore import nn

from mindcold.model import CausalLM
from mindcold.ops import contrastive_score, tree_verify


class ScoreStep(nn.Cell):
    """One decoding step as one graph.

    construct(rows int32 [8, R], heads int32 [4, P], alpha_beta float32 [P, 2]) -> verified int32 [4, P] (see
    `mindcold.ops.tree_verify`), logprob float32 [P], and with `scores` the scores float32 [P, vocab] behind them. The
    lines of `heads` are the expert's row, the amateur's, the draft token and the head of its parent. Without `contrast`
    the expert's logits serve as both, and only P rows go through the output projection.
    """

    def __init__(self, model: CausalLM, contrast: bool, scores: bool, backend: str = "auto"):
        super().__init__(auto_prefix=False)
        self.model, self.contrast, self.scores = model, contrast, scores
        self.score, self.verify = contrastive_score.body(backend), tree_verify.body(backend)

    def construct(self, rows, heads, alpha_beta):
        if self.contrast:
            scores, token, logprob = self.score.stacked(self.model(rows, heads[:2].reshape(-1)), alpha_beta)
        else:
            logits = self.model(rows, heads[0])
            scores, token, logprob = self.score(logits, logits, alpha_beta)
        verified = self.verify(token, heads[2], heads[3])
        return (verified, logprob, scores) if self.scores else (verified, logprob)
