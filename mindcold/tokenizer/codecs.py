"""The two kinds of tokenizer files: `tokenizer.json` by tokenizers, `tokenizer.model` by sentencepiece."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mindcold.errors import TokenizerError, one_line
from mindcold.fields import Fields
from mindcold.files import read_bytes
from mindcold.isolated import call

_DIGITS = 9
"""Of a token id at most."""

_SIZE = 1 << 28
"""Bytes of a tokenizer.json at most."""

_EXPRESSION = re.compile(rb'"Regex"\s*:\s*"((?:[^"\\]|\\.)*)"')
_NESTED = re.compile(rb"\)[*+{]")
"""A group that is repeated; those of GPT-2, Llama 3 and Qwen have none."""


class Codec(Protocol):
    """What a tokenizer file gives."""

    def encode(self, text: str, special: bool) -> list[int]:
        """Ids of a text, with the special tokens the model expects around it where `special` is set."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special and unknown ones are left out."""
        ...


class FastCodec:
    """`tokenizer.json`, read by the tokenizers library; TokenizerError for what it cannot read, encode or decode.

    One whose expressions repeat what repeats already, on which the library may panic, works in the bounded process.
    """

    def __init__(self, path: Path):
        from tokenizers import Tokenizer as FastTokenizer

        self._path, content = path, read_bytes(path, TokenizerError, _SIZE)
        self._tokenizer = self._call("not a tokenizer file", FastTokenizer.from_buffer, content)
        self._tokenizer.no_truncation()  # settings of training runs, which transformers does not follow either
        self._tokenizer.no_padding()
        nested = b'"Regex"' in content and any(_NESTED.search(found) for found in _EXPRESSION.findall(content))
        self._file = (str(path.resolve()), path.stat().st_mtime) if nested else None

    def encode(self, text: str, special: bool) -> list[int]:
        what = "cannot encode a text"
        if self._file:
            return self._call(what, call, "tokenizers_file", "encode", *self._file, text, special)
        return self._call(what, self._tokenizer.encode, text, add_special_tokens=special).ids

    def decode(self, ids: Sequence[int]) -> str:
        if self._file:
            return self._call("cannot decode", call, "tokenizers_file", "decode", *self._file, list(ids))
        return self._call("cannot decode", self._tokenizer.decode, list(ids), skip_special_tokens=True)

    def _call(self, what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except BaseException as error:  # the library raises plain Exception for every kind of damage, or panics
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise TokenizerError(f"{self._path}: {what} ({one_line(error)})") from None


class SentencePieceCodec:
    """`tokenizer.model`, read by sentencepiece, with the special tokens of tokenizer_config.json on top."""

    def __init__(self, path: Path, settings: Fields):
        from sentencepiece import SentencePieceProcessor

        try:
            self._pieces = SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise TokenizerError(f"{path}: not a sentencepiece model ({one_line(error)})") from None
        size = self._pieces.vocab_size()
        self._special = {self._pieces.id_to_piece(i): i for i in range(size) if self._pieces.is_control(i)}
        self._added: dict[int, str] = {}
        added = settings.object("added_tokens_decoder")
        for key in added.raw:
            token, entry = _token_id(added, key), added.object(key)
            text = entry.text("content", "")
            if not text:
                raise added.fail(key, "content: a text of at least one character is expected")
            if entry.flag("special"):
                self._special[text] = token
            else:
                self._added[token] = text
        longest_first = sorted([*self._special, *self._added.values()], key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else None
        self._by_text = self._special | {text: i for i, text in self._added.items()}
        self._hidden = frozenset(self._special.values())
        # Llama tokenizers put <s> in front of a text unless their settings say otherwise
        bos, eos = self._pieces.bos_id(), self._pieces.eos_id()
        self._front = [bos] if bos >= 0 and settings.flag("add_bos_token", True) else []
        self._back = [eos] if eos >= 0 and settings.flag("add_eos_token") else []

    def encode(self, text: str, special: bool) -> list[int]:
        ids: list[int] = []
        for part in self._split.split(text) if self._split else [text]:
            if part in self._by_text:
                ids.append(self._by_text[part])
            elif part:
                ids.extend(self._pieces.encode(part))
        return [*self._front, *ids, *self._back] if special else ids

    def decode(self, ids: Sequence[int]) -> str:
        size, text, run = self._pieces.vocab_size(), "", list[int]()
        for token in ids:
            if token in self._added:
                text, run = text + self._pieces.decode(run) + self._added[token], []
            elif token < size and token not in self._hidden:
                run.append(token)
        return text + self._pieces.decode(run)


def _token_id(added: Fields, key: str) -> int:
    """The id that a key of added_tokens_decoder is."""
    if not key.isascii() or not key.isdigit() or len(key) > _DIGITS:
        raise added.fail(key, "a token id is expected")
    return int(key)
