"""contrastive_score in C++ on CPU."""

from pathlib import Path

import mindspore as ms
from mindspore import ops

from mindcold.ops import build
from mindcold.ops.contrastive_score.body import ContrastiveScore

SOURCE = Path(__file__).with_name("kernel.cc")


class AotContrastiveScore(ContrastiveScore):
    """See reference.py."""

    def __init__(self, best: int = 0):
        super().__init__(best)
        more = 2 if best else 0
        self.score, self.masked_score = (
            ops.Custom(
                f"{build.library(SOURCE)}:contrastive_score",
                out_shape=lambda expert, base, alpha_beta, *allowed: (
                    [alpha_beta[0], expert[1]],
                    alpha_beta[:1],
                    alpha_beta[:1],
                    *[[alpha_beta[0], best]] * more,
                ),
                out_dtype=lambda *inputs: (ms.float32, ms.int32, ms.float32, *(ms.int32, ms.float32)[:more]),
                func_type="aot",
            )
            for _ in range(2)
        )
        for score in (self.score, self.masked_score):  # without a graph MindSpore tells shapes by name and attributes
            score.add_prim_attr("best", best)
        self.finite = ops.Custom(
            f"{build.library(SOURCE)}:finite_logits",
            out_shape=lambda logprob, *rest: logprob,
            out_dtype=lambda logprob, *rest: logprob,
            func_type="aot",
        )

    def construct(self, expert, base, alpha_beta, allowed=None):
        if allowed is None:
            return self.score(expert, base, alpha_beta)
        return self.masked_score(expert, base, alpha_beta, allowed)

    def stacked(self, logits, alpha_beta, allowed=None):
        return self.construct(logits, logits, alpha_beta, allowed)

    def checked(self, logprob, expert, base, alpha_beta):
        return self.finite(logprob, expert, base, alpha_beta)

    def checked_stacked(self, logprob, logits, alpha_beta):
        return self.finite(logprob, logits, logits, alpha_beta)
