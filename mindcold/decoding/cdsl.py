"""CDSL: constrained decoding with speculative lookahead (arXiv 2412.10418, NAACL 2025).

A draft model looks ahead, the target verifies its tokens in one pass, and the reward of what is verified decides. The
thresholds and fallbacks the paper leaves open are said in `ahead.py`; the output is not that of CDLH token for token.
"""

from mindcold.decoding.ahead import AheadSearch
from mindcold.decoding.method import Ahead, Contrast, Method
from mindcold.decoding.options import Options


def build(options: Options) -> Method:
    """Speculative lookahead; the draft is the base without the adapter unless another is named."""
    contrast = Contrast(options.alpha, options.beta) if options.score == "contrastive" else None
    ahead = Ahead(
        options.lookahead,
        options.candidates,
        options.reward_weight,
        options.exhaustive,
        speculative=True,
        tau_a=options.tau_a,
        tau_r=options.tau_r,
    )
    return Method("cdsl", contrast, draft="base", ahead=ahead, search=AheadSearch)
