"""Text of a set form as hard token masks: regular expressions and JSON schemas, by outlines-core."""

import json
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import outlines_core

from mindcold.constraints.automaton import AutomatonState
from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.errors import one_line, shown
from mindcold.isolated import TaskError, call
from mindcold.tokenizer import Tokenizer

SECONDS = 8.0
"""What the automaton of a pattern may take to compile."""

KEPT = 16
"""Automata that are kept for each tokenizer."""

_TEXTS: "WeakKeyDictionary[Tokenizer, dict[str, list[int]]]" = WeakKeyDictionary()
_AUTOMATA: "WeakKeyDictionary[Tokenizer, dict[tuple[str, int], Any]]" = WeakKeyDictionary()


class Regex:
    """Text that a regular expression matches as a whole, a space in front allowed; tokens that cannot lead there
    are out.

    The value is 1 where the text may end, else 0. Tokens that are parts of a character are never chosen. The automaton
    is compiled in a process of bounded memory (`mindcold.isolated`), in `seconds` at most.
    """

    cumulative = False

    def __init__(self, pattern: str, seconds: float = SECONDS):
        if not isinstance(pattern, str):
            raise ConstraintError(f"constraint Regex: a regular expression is expected, found {shown(pattern)}")
        self.pattern, self.seconds = pattern, seconds

    def start(self, vocabulary: Vocabulary) -> State:
        """The automaton's first state; ConstraintError for a pattern that is too large, cannot be read or met."""
        tokenizer = vocabulary.text("Regex")
        known, key = _AUTOMATA.setdefault(tokenizer, {}), (self.pattern, vocabulary.size)
        if key not in known:
            words = texts(tokenizer, vocabulary.size)
            try:
                pattern = f" ?({self.pattern})"
                content = call("patterns", "automaton", pattern, words, vocabulary.size, seconds=self.seconds)
            except TaskError as error:
                raise ConstraintError(f"constraint Regex: {one_line(error)}") from None
            while len(known) >= KEPT:
                del known[next(iter(known))]
            known[key] = _Index(outlines_core.Index.from_binary(content))
        return AutomatonState(known[key], vocabulary, known[key].start)


class Json(Regex):
    """JSON of a schema (a dict or its text)."""

    def __init__(self, schema: str | Mapping[str, Any], seconds: float = SECONDS):
        try:
            text = schema if isinstance(schema, str) else json.dumps(schema)
            super().__init__(call("patterns", "of_schema", text, seconds=seconds), seconds)
        except (TaskError, TypeError, ValueError, RecursionError) as error:
            raise ConstraintError(f"constraint Json: schema: {one_line(error)}") from None


class _Index:
    """An automaton of outlines-core."""

    def __init__(self, index: Any):
        self._index = index
        self.start: int = index.get_initial_state()

    def step(self, state: int, token: int) -> int | None:
        """The state after one more token, None for none."""
        found: int | None = self._index.get_next_state(state, token)
        return found

    def following(self, state: int) -> np.ndarray:
        """Tokens that lead somewhere, int64; the end of text it was built with may be among them."""
        return np.array(self._index.get_allowed_tokens(state) or [], np.int64)

    def is_final(self, state: int) -> bool:
        """Whether a text may end here."""
        return bool(self._index.is_final_state(state))


def texts(tokenizer: Tokenizer, size: int) -> dict[str, list[int]]:
    """Text of every token in the middle of a text, to its ids; kept for the tokenizer."""
    if tokenizer not in _TEXTS:
        found: dict[str, list[int]] = {}
        before = tokenizer.encode("a", add_special_tokens=False)
        start = len(tokenizer.decode(before))
        for token in range(size):
            text = tokenizer.decode([*before, token])[start:]
            if text and "\ufffd" not in text:
                found.setdefault(text, []).append(token)
        _TEXTS[tokenizer] = found
    return _TEXTS[tokenizer]
