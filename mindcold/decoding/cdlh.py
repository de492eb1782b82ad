"""CDLH: constrained decoding with lookahead, every candidate of every token rolled out by the target.

The baseline of CDSL (arXiv 2412.10418) and the family of DeAL (arXiv 2402.06147): of the k best tokens that one is
taken whose log-probability + weight * reward of the text with its greedy continuation is best.
"""

from mindcold.decoding.ahead import AheadSearch
from mindcold.decoding.method import Ahead, Contrast, Method
from mindcold.decoding.options import Options


def build(options: Options) -> Method:
    """Lookahead with the target; with `score="contrastive"` CoLD's scores take the place of the adapter's own."""
    contrast = Contrast(options.alpha, options.beta) if options.score == "contrastive" else None
    ahead = Ahead(options.lookahead, options.candidates, options.reward_weight, options.exhaustive)
    return Method("cdlh", contrast, ahead=ahead, search=AheadSearch)
