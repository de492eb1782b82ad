"""contrastive_score in MindSpore's own operators."""

import mindspore as ms
import numpy as np
from mindspore import ops

from mindcold.ops.contrastive_score.body import BestTokens, ContrastiveScore


class BuiltinContrastiveScore(ContrastiveScore):
    """See reference.py."""

    def __init__(self, best: int = 0):
        super().__init__(best)
        self.masked = ms.Tensor(np.float32(-np.inf))
        self.highest = ops.ReduceMax(keep_dims=True)
        self.sum = ops.ReduceSum(keep_dims=True)
        self.first = ops.Argmax(axis=-1, output_type=ms.int32)
        self.best_tokens = BestTokens(best)

    def construct(self, expert, base, alpha_beta, allowed=None):
        forbidden = ops.zeros_like(expert) + self.masked
        if allowed is not None:
            expert = ops.select(allowed != 0, expert, forbidden)
        alpha, beta = alpha_beta[:, 0:1], alpha_beta[:, 1:2]
        cutoff = self.highest(expert, -1) + ops.log(alpha)
        contrast = expert + beta * (expert - base)
        scores = ops.select(ops.logical_and(beta == 0, expert == expert), expert, contrast)
        stays = ops.logical_and(expert >= cutoff, expert > self.masked)
        scores = ops.select(stays, scores, forbidden)
        token = self.first(scores)
        highest = self.highest(scores, -1)
        gaps = ops.select(scores == highest, ops.zeros_like(scores), scores - highest)
        logprob = -ops.log(self.sum(ops.exp(gaps), -1))
        logprob = ops.select(highest == self.masked, highest, logprob).reshape(-1)
        if self.best == 0:
            return scores, token, logprob
        return scores, token, logprob, *self.best_tokens(scores, logprob)
