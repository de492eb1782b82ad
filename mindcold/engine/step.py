"""The compiled unit: rows through the network, and the score and choice of each head, in one graph."""

from mindspore import nn

from mindcold.model import CausalLM
from mindcold.ops import contrastive_score


class ScoreStep(nn.Cell):
    """One decoding step as one graph.

    construct(rows int32 [8, R], heads int32 [2, P], alpha_beta float32 [P, 2]) -> token int32 [P], logprob float32 [P],
    and with `scores` the scores float32 [P, vocab] they come from. With `contrast` the second line of `heads` is the
    amateur's row; without it the expert's logits serve as both, and only P rows go through the output projection.
    """

    def __init__(self, model: CausalLM, contrast: bool, scores: bool, backend: str = "auto"):
        super().__init__(auto_prefix=False)
        self.model, self.contrast, self.scores = model, contrast, scores
        self.score = contrastive_score.body(backend)

    def construct(self, rows, heads, alpha_beta):
        if self.contrast:
            scores, token, logprob = self.score.stacked(self.model(rows, heads.reshape(-1)), alpha_beta)
        else:
            logits = self.model(rows, heads[0])
            scores, token, logprob = self.score(logits, logits, alpha_beta)
        return (token, logprob, scores) if self.scores else (token, logprob)
