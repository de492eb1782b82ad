"""States that are a function of the text so far: the easy way to write a constraint."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mindcold.tokenizer import Tokenizer


class TextState:
    """A state whose value is that of one text."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        judge: Callable[..., Any],
        tokens: Sequence[int] = (),
        explain: Callable[[str], str] | None = None,
        keep: Callable[[str], float] | None = None,
    ):
        """`judge` gives the value of a text, `explain` says what is missing in it, `keep` what it cannot lose."""
        self._tokenizer, self._judge, self._tokens = tokenizer, judge, list(tokens)
        self._explain, self._keep = explain, keep
        self._known: float | None = None

    def advance(self, token: int) -> None:
        self._tokens.append(token)
        self._known = None

    def rollback(self, count: int) -> None:
        if count:
            del self._tokens[-count:]
            self._known = None

    def fork(self) -> "TextState":
        return type(self)(self._tokenizer, self._judge, self._tokens, self._explain, self._keep)

    def value(self) -> float:
        if self._known is None:
            self._known = self._judge(self._tokenizer.decode(self._tokens))
        return self._known

    def floor(self) -> float:
        return self._keep(self._tokenizer.decode(self._tokens)) if self._keep else 0.0

    def allowed(self) -> np.ndarray | None:
        return None

    def unmet(self) -> str:
        return self._explain(self._tokenizer.decode(self._tokens)) if self._explain else f"value {self.value():g}"


class BatchedTextState(TextState):
    """A state whose value is judged together with that of others: the function takes a list of texts, gives a list."""

    def value(self) -> float:
        return self.values([self])[0]

    @staticmethod
    def values(states: "Sequence[BatchedTextState]") -> Sequence[float]:
        """Values of several states in one call."""
        return states[0]._judge([state._tokenizer.decode(state._tokens) for state in states])
