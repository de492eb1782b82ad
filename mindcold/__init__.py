"""mindcold: contrastive LoRA decoding for MindSpore.

`load` gives an LLM; its `generate` and `stream` decode. Errors a user can cause are MindcoldError.
"""

from typing import TYPE_CHECKING, Any

from mindcold.errors import MindcoldError

if TYPE_CHECKING:
    from mindcold.llm import LLM, load
    from mindcold.output import GenerationStats, Output, Token
    from mindcold.request import Request

__version__ = "0.1.0"
__all__ = ["LLM", "GenerationStats", "MindcoldError", "Output", "Request", "Token", "load"]

_HOMES = {"LLM": "mindcold.llm", "load": "mindcold.llm", "Request": "mindcold.request"}
_HOMES |= dict.fromkeys(("GenerationStats", "Output", "Token"), "mindcold.output")


def __getattr__(name: str) -> Any:
    """Import MindSpore only when something that needs it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mindcold' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
