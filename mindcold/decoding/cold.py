"""CoLD: contrastive LoRA decoding, expert = base + LoRA against amateur = base.

Source: arXiv 2505.14620 (KDD 2025), formula as in O'Brien & Lewis, arXiv 2309.09117. Tokens whose expert logit is at
least max + log(alpha) stay; among them the best of (1 + beta) * expert - beta * amateur is taken. alpha = 0.1 and
beta = 0.5 are the values of O'Brien & Lewis; CoLD's own are not public.
"""

from mindcold.decoding.method import Contrast, Method
from mindcold.decoding.options import Options


def build(options: Options) -> Method:
    """CoLD; with `do_sample` it draws from the softmax of the contrastive score."""
    return Method("cold", Contrast(options.alpha, options.beta), sampled=bool(options.do_sample))
