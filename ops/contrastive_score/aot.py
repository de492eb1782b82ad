"""contrastive_score in C++ on CPU."""

from pathlib import Path

import mindspore as ms
from mindspore import ops

from mindcold.ops import build
from mindcold.ops.contrastive_score.body import ContrastiveScore

SOURCE = Path(__file__).with_name("kernel.cc")


class AotContrastiveScore(ContrastiveScore):
    """See reference.py."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.score = ops.Custom(
            f"{build.library(SOURCE)}:contrastive_score",
            out_shape=lambda expert, base, alpha_beta: (
                [alpha_beta[0], expert[1]],
                alpha_beta[:1],
                alpha_beta[:1],
            ),
            out_dtype=lambda expert, base, alpha_beta: (ms.float32, ms.int32, ms.float32),
            func_type="aot",
        )

    def construct(self, expert, base, alpha_beta):
        return self.score(expert, base, alpha_beta)

    def stacked(self, logits, alpha_beta):
        return self.score(logits, logits, alpha_beta)
