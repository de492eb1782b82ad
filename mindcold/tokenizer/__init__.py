"""Text to token ids and back."""

from mindcold.tokenizer.chat import Message
from mindcold.tokenizer.detokenizer import Detokenizer
from mindcold.tokenizer.tokenizer import Tokenizer

__all__ = ["Detokenizer", "Message", "Tokenizer"]
