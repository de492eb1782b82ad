"""The operators of mindcold: one folder each, one contract (NumPy) with several bodies."""

from mindcold.ops.contrastive_score import operator as contrastive_score
from mindcold.ops.decoder import operator as decoder
from mindcold.ops.frozen_matmul import operator as frozen_matmul
from mindcold.ops.lora_linear import operator as lora_linear
from mindcold.ops.rope import operator as rope
from mindcold.ops.swiglu import operator as swiglu
from mindcold.ops.tree_attention import operator as tree_attention
from mindcold.ops.tree_verify import operator as tree_verify
from mindcold.ops.trigram_draft import operator as trigram_draft

__all__ = [
    "contrastive_score",
    "decoder",
    "frozen_matmul",
    "lora_linear",
    "rope",
    "swiglu",
    "tree_attention",
    "tree_verify",
    "trigram_draft",
]
