"""Greedy decoding: the best token of the adapter's own logits, lowest id on ties."""

from mindcold.decoding.method import Method
from mindcold.decoding.options import Options


def build(options: Options) -> Method:
    """Greedy decoding; with `do_sample` it is `sample`."""
    return Method("greedy", sampled=bool(options.do_sample))
