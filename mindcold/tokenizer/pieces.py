"""Text of token ids as they come."""

from collections.abc import Callable

HALF = "\ufffd"
"""What libraries decode the beginning of a character to."""


class Pieces:
    """The text of a growing list of token ids, piece by piece, by a function that decodes a list as a whole.

    A list is decoded from a point a little back, since what a token adds depends on what is before it: a space, or the
    first bytes of a character. The point moves on when what follows it has text of its own (control tokens have none),
    as in tokenizers' DecodeStream, which serves one kind of file only and never gives what it held back.
    """

    def __init__(self, decode: Callable[[tuple[int, ...]], str]):
        self._decode = decode
        self._ids: list[int] = []
        self._count, self._text = 0, ""  # how many of them have been shown, and their text

    def push(self, token: int, last: bool = False) -> str:
        """Add one id and return the text it completes; `last` also gives what was held back.

        Text that ends inside a character (byte tokens) is held back until the character is whole.
        """
        self._ids.append(token)
        text = self._decode(tuple(self._ids))
        if not text.startswith(self._text):  # bytes that are no character make some decoders take earlier ones back
            self._ids, self._count, self._text = self._ids[self._count :], 0, ""
            text = self._decode(tuple(self._ids))
        if text.endswith(HALF) and not last:
            return ""
        piece, rest = text[len(self._text) :], self._decode(tuple(self._ids[self._count :]))
        if rest:
            self._ids, text = self._ids[self._count :], rest
        self._count, self._text = len(self._ids), text
        return piece
