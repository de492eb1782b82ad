"""The causal language model as a MindSpore graph: rows of token positions in, logits out."""

from mindcold.model.causal_lm import CausalLM
from mindcold.model.factory import CausalLMFactory
from mindcold.model.weights import Weights

__all__ = ["CausalLM", "CausalLMFactory", "Weights"]
