"""Prompts to token ids: texts, ids and chat messages, checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindcold import values
from mindcold.config import ModelConfig
from mindcold.errors import RequestError, TokenizerError, shown
from mindcold.request import Prompt, Request
from mindcold.tokenizer import Tokenizer


def is_single(prompt: Any) -> bool:
    """Whether this is one prompt rather than a list of prompts."""
    if isinstance(prompt, (str, Request)) or not _is_list(prompt) or not len(prompt):
        return True
    return all(isinstance(item, dict) for item in prompt) or all(values.is_whole(item) for item in prompt)


def _is_list(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview))


class PromptEncoder:
    """Turns the prompts of a model folder into token ids."""

    def __init__(self, folder: Path, config: ModelConfig, tokenizer: Tokenizer | None):
        self._folder, self._config, self._tokenizer = folder, config, tokenizer

    def encode(self, prompt: Prompt, where: str = "prompt: ", bounded: bool = True) -> list[int]:
        """Token ids of one prompt; `where` begins the error message, `bounded` refuses what exceeds the context.

        Raises RequestError for what is no prompt, TokenizerError for chats without a template.
        """
        is_chat = isinstance(prompt, list) and bool(prompt) and all(isinstance(item, dict) for item in prompt)
        if isinstance(prompt, str) or is_chat:
            if self._tokenizer is None:
                raise RequestError(f"{where}{self._folder} has no tokenizer; give token ids")
            prompt = self._encode(self._tokenizer, prompt, where)
        if not _is_list(prompt):
            raise RequestError(f"{where}a text, token ids or chat messages are expected, found {type(prompt).__name__}")
        if not len(prompt):
            raise RequestError(f"{where}empty; give at least one token")
        ids, size = [], self._config.vocab_size
        for item in prompt:
            token = values.integer(item)
            if token is None or not 0 <= token < size:
                raise RequestError(f"{where}{shown(item)} is not a token id below vocab_size {size}")
            ids.append(token)
        limit = self._config.max_position_embeddings
        if bounded and len(ids) > limit:
            raise RequestError(f"{where}{len(ids)} tokens do not fit the model's max_position_embeddings {limit}")
        return ids

    def _encode(self, tokenizer: Tokenizer, prompt: str | list[dict[str, Any]], where: str) -> list[int]:
        if not isinstance(prompt, str):
            return tokenizer.chat(prompt)
        try:
            return tokenizer.encode(prompt)
        except TokenizerError as error:
            raise RequestError(f"{where}{error}") from None

    def text(self, prompt: str, where: str) -> list[int]:
        """Token ids of a whole text to learn from, with the end-of-text that follows it."""
        return self.encode(prompt, where, bounded=False) + list(self._config.eos_token_ids[:1])
