"""The causal language model as a MindSpore graph: rows of token positions in, logits out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindcold.model.causal_lm import CausalLM
    from mindcold.model.factory import CausalLMFactory
    from mindcold.model.weights import Weights

__all__ = ["CausalLM", "CausalLMFactory", "Weights"]

_HOMES = {"CausalLM": "mindcold.model.causal_lm", "Weights": "mindcold.model.weights"}
_HOMES["CausalLMFactory"] = "mindcold.model.factory"


def __getattr__(name: str) -> Any:
    """Import the network only when it is asked for: `mindcold.model.shapes` needs no MindSpore."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mindcold.model' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
