"""Other formats of models, turned into HuggingFace folders once."""

from mindcold.convert.gguf_model import convert
from mindcold.convert.installed import resolve

__all__ = ["convert", "resolve"]
