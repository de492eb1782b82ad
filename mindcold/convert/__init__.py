"""Other formats of models, turned into HuggingFace folders once."""

from mindcold.convert.gguf_model import convert
from mindcold.convert.installed import PACKAGES, resolve

__all__ = ["PACKAGES", "convert", "resolve"]
