"""A `tokenizer.json` whose expressions may backtrack without end, or panic; called in the bounded process."""

from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer


def encode(path: str, changed: float, text: str, special: bool) -> list[int]:
    """Ids of a text; `changed` is the file's time of change."""
    return _loaded(path, changed).encode(text, add_special_tokens=special).ids


def decode(path: str, changed: float, ids: list[int]) -> str:
    """The text of ids, without special ones."""
    return _loaded(path, changed).decode(ids, skip_special_tokens=True)


@lru_cache(2)
def _loaded(path: str, changed: float) -> Any:
    found = Tokenizer.from_file(path)
    found.no_truncation()
    found.no_padding()
    return found
