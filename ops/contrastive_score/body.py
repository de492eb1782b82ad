"""What the bodies of contrastive_score have in common."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class ContrastiveScore(nn.Cell):
    """construct(expert, base [P, V], alpha_beta [P, 2], allowed int8 [P, V] or None) -> scores, token, logprob.

    With `best` = k > 0 the k best tokens and their log-probabilities [P, k] follow. See reference.py.
    """

    def __init__(self, best: int = 0):
        super().__init__(auto_prefix=False)
        self.best = best
        self.total, self.columns = ops.ReduceSum(), ops.Unstack(axis=1)

    def stacked(self, logits, alpha_beta, allowed=None):
        """The same for experts and amateurs in one tensor [2 P, V], as the output projection gives them."""
        count = alpha_beta.shape[0]
        return self.construct(logits[:count], logits[count:], alpha_beta, allowed)

    def checked(self, logprob, expert, base, alpha_beta):
        """logprob [P], NaN where it was made of logits that are NaN or infinite; see finite_logits in reference.py."""
        return self.marked(logprob, self.total(expert, -1), self.total(base, -1), alpha_beta)

    def checked_stacked(self, logprob, logits, alpha_beta):
        """The same for experts and amateurs in one tensor [2 P, V]."""
        sums, count = self.total(logits, -1), alpha_beta.shape[0]
        return self.marked(logprob, sums[:count], sums[count:], alpha_beta)

    def marked(self, logprob, expert, base, alpha_beta):
        """By the sums of the rows."""
        read = ops.select(self.columns(alpha_beta)[1] == 0, expert, base)
        return logprob + (expert - expert) + (read - read)  # nothing, or NaN; a constant NaN is lost in graphs


class BestTokens(nn.Cell):
    """construct(scores [P, V], logprob [P]) -> tokens int32 [P, k], logprobs float32 [P, k], in MindSpore's operators.

    One maximum after another, since TopK promises no order among equal scores.
    """

    def __init__(self, count: int):
        super().__init__(auto_prefix=False)
        self.count = count
        self.lowest = ms.Tensor(np.float32(-np.inf))
        self.highest = ops.ReduceMax(keep_dims=True)
        self.first = ops.Argmax(axis=-1, output_type=ms.int32)
        self.stack = ops.Stack(axis=-1)

    def construct(self, scores, logprob):
        ids = ops.arange(0, scores.shape[1]).astype("int32")[None]
        nothing, tokens, logprobs = ops.zeros_like(scores) + self.lowest, [], []
        top = self.highest(scores, -1)
        for _ in range(self.count):
            value, token = self.highest(scores, -1), self.first(scores)
            none = (value == self.lowest).reshape(-1)
            gap = ops.select(value == top, ops.zeros_like(value), value - top).reshape(-1)
            tokens.append(ops.select(none, ops.zeros_like(token) - 1, token))
            logprobs.append(ops.select(none, ops.zeros_like(logprob) + self.lowest, gap + logprob))
            scores = ops.select(ids == token[:, None], nothing, scores)
        return self.stack(tokens), self.stack(logprobs)
