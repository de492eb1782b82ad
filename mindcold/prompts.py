"""Prompts to token ids: texts, ids and chat messages, checked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindcold.config import ModelConfig
from mindcold.errors import RequestError
from mindcold.request import Prompt, Request
from mindcold.sampling_params import is_token
from mindcold.tokenizer import Tokenizer


def is_single(prompt: Any) -> bool:
    """Whether this is one prompt rather than a list of prompts."""
    if isinstance(prompt, (str, Request)) or not isinstance(prompt, (Sequence, np.ndarray)) or not len(prompt):
        return True
    return all(isinstance(item, dict) for item in prompt) or all(hasattr(item, "__index__") for item in prompt)


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
            prompt = self._tokenizer.encode(prompt) if isinstance(prompt, str) else self._tokenizer.chat(prompt)
        if not isinstance(prompt, (Sequence, np.ndarray)) or isinstance(prompt, (str, bytes)):
            raise RequestError(f"{where}a text, token ids or chat messages are expected, found {type(prompt).__name__}")
        if not len(prompt):
            raise RequestError(f"{where}empty; give at least one token")
        for item in prompt:
            if not is_token(item, self._config.vocab_size):
                raise RequestError(f"{where}{item!r} is not a token id below vocab_size {self._config.vocab_size}")
        limit = self._config.max_position_embeddings
        if bounded and len(prompt) > limit:
            raise RequestError(f"{where}{len(prompt)} tokens do not fit the model's max_position_embeddings {limit}")
        return [int(item) for item in prompt]

    def text(self, prompt: str, where: str) -> list[int]:
        """Token ids of a whole text to learn from, with the end-of-text that follows it."""
        return self.encode(prompt, where, bounded=False) + list(self._config.eos_token_ids[:1])
