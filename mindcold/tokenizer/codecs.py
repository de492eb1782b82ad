"""The two kinds of tokenizer files: `tokenizer.json` by tokenizers, `tokenizer.model` by sentencepiece."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from mindcold.errors import TokenizerError, one_line


class Codec(Protocol):
    """What a tokenizer file gives."""

    def encode(self, text: str, special: bool) -> list[int]:
        """Ids of a text, with the special tokens the model expects around it where `special` is set."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special and unknown ones are left out."""
        ...


class FastCodec:
    """`tokenizer.json`, read by the tokenizers library."""

    def __init__(self, path: Path):
        from tokenizers import Tokenizer as FastTokenizer

        try:
            self._tokenizer = FastTokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise TokenizerError(f"{path}: not a tokenizer file ({one_line(error)})") from None

    def encode(self, text: str, special: bool) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=special).ids

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)


class SentencePieceCodec:
    """`tokenizer.model`, read by sentencepiece, with the special tokens of tokenizer_config.json on top."""

    def __init__(self, path: Path, settings: dict[str, Any]):
        from sentencepiece import SentencePieceProcessor

        try:
            self._pieces = SentencePieceProcessor(model_file=str(path))
        except (RuntimeError, OSError) as error:
            raise TokenizerError(f"{path}: not a sentencepiece model ({one_line(error)})") from None
        size = self._pieces.vocab_size()
        self._special = {self._pieces.id_to_piece(i): i for i in range(size) if self._pieces.is_control(i)}
        self._added = {}
        for key, entry in (settings.get("added_tokens_decoder") or {}).items():
            if str(key).isdigit() and isinstance(entry, dict) and isinstance(entry.get("content"), str):
                if entry.get("special", False):
                    self._special[entry["content"]] = int(key)
                else:
                    self._added[int(key)] = entry["content"]
        longest_first = sorted([*self._special, *self._added.values()], key=len, reverse=True)
        self._split = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if longest_first else None
        self._by_text = self._special | {text: i for i, text in self._added.items()}
        self._hidden = frozenset(self._special.values())
        # Llama tokenizers put <s> in front of a text unless their settings say otherwise
        bos, eos = self._pieces.bos_id(), self._pieces.eos_id()
        self._front = [bos] if bos >= 0 and settings.get("add_bos_token", True) else []
        self._back = [eos] if eos >= 0 and settings.get("add_eos_token", False) else []

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
