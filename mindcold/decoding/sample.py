"""Sampling: a draw from the adapter's own distribution after temperature, top-k, top-p and min-p."""

from mindcold.decoding.method import Method
from mindcold.decoding.options import Options


def build(options: Options) -> Method:
    """Sampling from the softmax of the logits."""
    return Method("sample", sampled=options.do_sample is not False)
