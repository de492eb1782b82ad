"""ADED: greedy decoding (or sampling) with adaptive trigram drafts; fewer passes, the same tokens.

Source: arXiv 2407.12021 (AAAI 2025). Verification takes one choice of the target per visited node, which leaves the
output as it is without drafts, for sampling too.
"""

from mindcold.decoding.method import Method
from mindcold.decoding.options import Options


def build(options: Options) -> Method:
    """The adapter's own score with a trigram drafter."""
    return Method("aded", sampled=bool(options.do_sample), draft="trigram")
