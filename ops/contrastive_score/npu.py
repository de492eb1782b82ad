"""contrastive_score on Ascend by its Triton kernels. Written, never run on an NPU."""

import mindspore as ms
import numpy as np
from mindspore import ops

from mindcold.ops import launcher
from mindcold.ops.contrastive_score.body import ContrastiveScore


class TritonContrastiveScore(ContrastiveScore):
    """See reference.py; called between two graphs, `alpha_beta` from the host."""

    def construct(self, expert, base, alpha_beta, allowed=None):
        (rows, vocab), block = expert.shape, launcher.constants("contrastive_score").BLOCK
        tiles = -(-vocab // block)
        log_alpha, beta = (ms.Tensor(line) for line in weights(alpha_beta.asnumpy()))
        scores, maxima = ops.zeros((rows, vocab), ms.float32), ops.zeros((rows, tiles), ms.float32)
        token, logprob = ops.zeros((rows,), ms.int32), ops.zeros((rows,), ms.float32)
        mask = ops.zeros((1,), ms.int8) if allowed is None else allowed
        inputs = expert, base, log_alpha, beta, mask
        launcher.kernel("contrastive_score", "contrastive_score")[(rows,)](
            *inputs, scores, token, logprob, maxima, vocab, MASKED=allowed is not None, BLOCK=block
        )
        if self.best == 0:
            return scores, token, logprob
        tokens, logprobs = ops.zeros((rows, self.best), ms.int32), ops.zeros((rows, self.best), ms.float32)
        launcher.kernel("contrastive_score", "best_tokens")[(rows,)](
            *(scores, maxima, logprob, tokens, logprobs, vocab, self.best),
            TILES=1 << (tiles - 1).bit_length(),
            BLOCK=block,
        )
        return scores, token, logprob, tokens, logprobs


def weights(alpha_beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Alpha's logarithm and beta of each row, float32 [P] each, rounded as in reference.py; 0 and 0 for padding."""
    alpha, beta = alpha_beta.T
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.where(alpha < 0, 1, alpha).astype(np.float64)).astype(np.float32)
    return logarithm, np.where(alpha < 0, 0, beta).astype(np.float32)
