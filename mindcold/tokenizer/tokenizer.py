"""The tokenizer of a model folder."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from mindcold.errors import TokenizerError
from mindcold.fields import Fields, read_json
from mindcold.files import is_file
from mindcold.tokenizer.chat import Message, render
from mindcold.tokenizer.codecs import Codec, FastCodec, SentencePieceCodec
from mindcold.tokenizer.pieces import HALF, Pieces
from mindcold.values import is_text


class Tokenizer:
    """The tokenizer of a model folder: `encode`, `decode` and the chat template."""

    def __init__(self, folder: str | Path):
        """Raises TokenizerError, naming the file, when the folder has no tokenizer or a damaged one."""
        self.folder = Path(folder)
        settings = self.folder / "tokenizer_config.json"
        self._settings = read_json(settings, TokenizerError) if is_file(settings, TokenizerError) else {}
        fast, pieces = self.folder / "tokenizer.json", self.folder / "tokenizer.model"
        if is_file(fast, TokenizerError):
            self._codec: Codec = FastCodec(fast)
        elif is_file(pieces, TokenizerError):
            self._codec = SentencePieceCodec(pieces, Fields(self._settings, str(settings), TokenizerError))
        else:
            raise TokenizerError(f"{self.folder}: no tokenizer.json or tokenizer.model; give token ids instead of text")
        # remembered: a token mostly follows one it has followed before
        self._decode_few = lru_cache(1 << 16)(self._codec.decode)

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Whether a model folder has a tokenizer file."""
        return any(is_file(Path(folder) / name, TokenizerError) for name in ("tokenizer.json", "tokenizer.model"))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text, with the special tokens (such as `<s>`) the model expects around it.

        Raises TokenizerError for half of a surrogate pair, which is no text.
        """
        if not is_text(text):
            raise TokenizerError("cannot encode a text: half of a surrogate pair is none")
        return list(self._codec.encode(text, add_special_tokens))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; special tokens and ids the tokenizer does not know are left out.

        It is what `pieces` gives one by one, also where bytes are no character.
        """
        text = self._codec.decode(ids)
        if HALF not in text:
            return text
        pieces, end = self.pieces(), len(ids) - 1
        return "".join(pieces.push(token, last=i == end) for i, token in enumerate(ids))

    def pieces(self) -> Pieces:
        """A decoder of ids as they come."""
        return Pieces(self._decode_few)

    def chat(self, messages: Sequence[Message], **variables: Any) -> list[int]:
        """Token ids of a conversation through the folder's chat template, ready for the assistant's answer.

        `variables` are those of `mindcold.chat.render`, such as `tools` and `documents`. Raises TokenizerError when
        there is no template or it refuses the messages.
        """
        return self.encode(self.render_chat(messages, **variables), add_special_tokens=False)

    def render_chat(self, messages: Sequence[Message], **variables: Any) -> str:
        """The text the chat template makes of a conversation; the template runs in jinja2's sandbox."""
        return render(self.folder, self._settings, messages, **variables)
