"""Lists of allowed outputs as hard token masks, as generative recommendation and classification use them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from mindcold.constraints.automaton import AutomatonState
from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.trie import Trie
from mindcold.tokenizer import Tokenizer

MAX_FILE = 1 << 30
"""Bytes of a file of items."""


class OneOf:
    """One of a list of items and nothing else; tokens that lead to none of them are out.

    An item is a text, taken in the tokens a model writes it with after other text, or a list of token ids. `space` says
    whether a space comes in front of texts; None leaves it to the model. The value is 1 where an item is complete, else
    0. With beam search the K best items come ranked (`Output.ranked`), as in AtSpeed (arXiv 2410.05165). The items are
    a trie in arrays, built once for a tokenizer.
    """

    cumulative = False

    def __init__(self, items: Sequence[str] | Sequence[Sequence[int]], space: bool | None = None):
        if isinstance(items, (str, bytes)) or not isinstance(items, Sequence) or not len(items):
            raise ConstraintError("constraint OneOf: a list of texts, or of lists of token ids, is expected")
        self.items, self.space = items, space
        for i, item in enumerate(items):
            if not _is_item(item):
                raise ConstraintError(
                    f"constraint OneOf: item {i}: a text or a list of token ids is expected, not empty, "
                    f"found {item!r:.60}"
                )
        self._tries: WeakKeyDictionary[Tokenizer, Trie] = WeakKeyDictionary()
        self._plain: tuple[int, Trie] | None = None

    @classmethod
    def from_file(cls, path: str | Path, space: bool | None = None) -> "OneOf":
        """The lines of a UTF-8 text file, an item each; ConstraintError names the file and what is wrong with it."""
        path = Path(path)
        try:
            if path.stat().st_size > MAX_FILE:
                raise ConstraintError(f"constraint OneOf: {path}: more than {MAX_FILE >> 20} MiB")
            text = path.read_bytes().decode("utf-8")  # whose line ends stay as they are
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConstraintError(f"constraint OneOf: {path}: {reason}") from None
        lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        if "" in lines:
            raise ConstraintError(f"constraint OneOf: {path}: line {lines.index('') + 1}: empty; an item is expected")
        return cls(lines, space)

    def start(self, vocabulary: Vocabulary) -> State:
        """Nothing is written yet; ConstraintError for an item the tokenizer cannot spell."""
        if not vocabulary.eos:
            raise ConstraintError("constraint OneOf: eos_token_id: an end of text has to follow the item; give one")
        return AutomatonState(self._trie(vocabulary), vocabulary, 0)

    def _trie(self, vocabulary: Vocabulary) -> Trie:
        """The items in the tokens of a vocabulary."""
        if not any(isinstance(item, str) for item in self.items):
            if self._plain is None or self._plain[0] != vocabulary.size:
                self._plain = vocabulary.size, self._built(None, vocabulary.size)
            return self._plain[1]
        tokenizer = vocabulary.text("OneOf")
        if tokenizer not in self._tries:
            self._tries[tokenizer] = self._built(tokenizer, vocabulary.size)
        return self._tries[tokenizer]

    def _built(self, tokenizer: Tokenizer | None, size: int) -> Trie:
        try:
            return Trie.of(self._sequences(tokenizer, size), size)
        except ValueError as error:
            if isinstance(error, ConstraintError):
                raise
            raise ConstraintError(f"constraint OneOf: {error}") from None

    def _sequences(self, tokenizer: Tokenizer | None, size: int) -> Iterator[Sequence[int]]:
        """The ids of every item, in each form it may have."""
        for item in self.items:
            if isinstance(item, str):
                assert tokenizer is not None
                for lead in ("", " ") if self.space is None else (" " * self.space,):
                    yield _written(tokenizer, lead + item)
            elif max(item) >= size or min(item) < 0:
                raise ConstraintError(f"constraint OneOf: {list(item)!r:.60}: an id is not below vocab_size {size}")
            else:
                yield item


def _is_item(item: Any) -> bool:
    if isinstance(item, str):
        return bool(item)
    if not isinstance(item, (Sequence, np.ndarray)) or not len(item):
        return False
    return all(hasattr(token, "__index__") and not isinstance(token, bool) for token in item)


def _written(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text that follows a line break, so that nothing is put in front of it."""
    before = tokenizer.encode("\n", add_special_tokens=False)
    whole = tokenizer.encode(f"\n{text}", add_special_tokens=False)
    ids = whole[len(before) :]
    if whole[: len(before)] != before:  # the break has become one with the text
        ids = tokenizer.encode(text, add_special_tokens=False)
    if "".join(tokenizer.decode(ids).split()) != "".join(text.split()) or not ids:
        raise ConstraintError(f"constraint OneOf: the tokenizer cannot spell {text.strip()!r:.60}")
    return ids
