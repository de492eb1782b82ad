"""Text to token ids and back: `tokenizer.json` by tokenizers or `tokenizer.model` by sentencepiece, chat by jinja2."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from mindcold.errors import RequestError, TokenizerError, one_line
from mindcold.fields import read_json

Message = dict[str, Any]
"""One chat message: {"role": "user", "content": "..."}."""


class _Codec(Protocol):
    """What a tokenizer file gives: ids of a text with its special tokens, and the text of ids without them."""

    def encode(self, text: str, special: bool) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


class _FastCodec:
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


class _SentencePieceCodec:
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


class Tokenizer:
    """The tokenizer of a model folder: `encode`, `decode` and the chat template."""

    def __init__(self, folder: str | Path):
        """Raises TokenizerError, naming the file, when the folder has no tokenizer or a damaged one."""
        self.folder = Path(folder)
        self._settings = self._read_settings("tokenizer_config.json")
        fast, pieces = self.folder / "tokenizer.json", self.folder / "tokenizer.model"
        if fast.is_file():
            self._codec: _Codec = _FastCodec(fast)
        elif pieces.is_file():
            self._codec = _SentencePieceCodec(pieces, self._settings)
        else:
            raise TokenizerError(f"{self.folder}: no tokenizer.json or tokenizer.model; give token ids instead of text")

        self.decode_few = lru_cache(1 << 16)(self._codec.decode)
        """`decode` of a few ids as a tuple, remembered: a token mostly follows one it has followed before."""

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Whether a model folder has a tokenizer file."""
        return any((Path(folder) / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text, with the special tokens (such as `<s>`) the model expects around it."""
        return list(self._codec.encode(text, add_special_tokens))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids; special tokens and ids the tokenizer does not know are left out."""
        return self._codec.decode(ids)

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation through the folder's chat template, ready for the assistant's answer.

        Raises TokenizerError when there is no template or it refuses the messages.
        """
        return self.encode(self.render_chat(messages), add_special_tokens=False)

    def render_chat(self, messages: Sequence[Message]) -> str:
        """The text the chat template makes of a conversation; the template runs in jinja2's sandbox."""
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        where, source = self._chat_template()
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        try:
            return environment.from_string(source).render(
                messages=list(messages),
                add_generation_prompt=True,
                bos_token=self._special_token("bos_token"),
                eos_token=self._special_token("eos_token"),
                raise_exception=_raise_exception,
                strftime_now=lambda form: datetime.now().strftime(form),
            )
        except (TemplateError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise TokenizerError(f"{where}: the chat template failed: {one_line(error)}") from None

    def _chat_template(self) -> tuple[Path, str]:
        own = self.folder / "chat_template.jinja"
        if own.is_file():
            return own, own.read_text(encoding="utf-8")
        template = self._settings.get("chat_template")
        if isinstance(template, list):  # several named templates
            named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
            template = named.get("default")
        where = self.folder / "tokenizer_config.json"
        if not isinstance(template, str):
            raise TokenizerError(f"{where}: chat_template: missing; give a plain text prompt instead of messages")
        return where, template

    def _special_token(self, name: str) -> str:
        value = self._settings.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        return value if isinstance(value, str) else ""

    def _read_settings(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            return {}
        return read_json(path, TokenizerError)


def _raise_exception(message: str) -> None:
    raise RequestError(one_line(message))


class Detokenizer:
    """Text of a growing list of token ids, piece by piece: `push` returns what the new id adds.

    A piece that ends inside a character (byte-level tokens) is held back until the character is whole.
    """

    def __init__(self, tokenizer: Tokenizer | None):
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = self._shown = 0  # decoding restarts here, and has been shown up to here

    def push(self, token: int, last: bool = False) -> str:
        """Add one id and return the text it completes; `last` also gives what was held back."""
        if self._tokenizer is None:
            return ""
        self._ids.append(token)
        before = self._tokenizer.decode_few(tuple(self._ids[self._start : self._shown]))
        after = self._tokenizer.decode_few(tuple(self._ids[self._start :]))
        if not last and after.endswith("\ufffd"):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return after[len(before) :]
