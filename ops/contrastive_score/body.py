"""What the bodies of contrastive_score have in common."""

from mindspore import nn


class ContrastiveScore(nn.Cell):
    """construct(expert, base [P, V], alpha_beta [P, 2], allowed int8 [P, V] or None) -> scores, token, logprob.

    See reference.py.
    """

    def stacked(self, logits, alpha_beta, allowed=None):
        """The same for experts and amateurs in one tensor [2 P, V], as the output projection gives them."""
        count = alpha_beta.shape[0]
        return self.construct(logits[:count], logits[count:], alpha_beta, allowed)
