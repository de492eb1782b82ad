"""The operators of mindcold: one folder each, one contract (NumPy) with several bodies."""

from mindcold.ops.contrastive_score import operator as contrastive_score
from mindcold.ops.tree_attention import operator as tree_attention

__all__ = ["contrastive_score", "tree_attention"]
