"""Text of a sequence of ids as they come, for models with and without a tokenizer."""

from mindcold.tokenizer.tokenizer import Tokenizer


class Detokenizer:
    """Text of the ids of one sequence as they come; without a tokenizer it has none."""

    def __init__(self, tokenizer: Tokenizer | None):
        self._pieces = tokenizer.pieces() if tokenizer else None

    def push(self, token: int, last: bool = False) -> str:
        """Add one id and return the text it completes; `last` also gives what was held back."""
        return self._pieces.push(token, last) if self._pieces else ""
