"""The protocol of constraints, what is given as one, and the guard around those that users write."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mindcold.errors import RequestError
from mindcold.tokenizer import Tokenizer

SLOW = 10.0
"""Seconds one evaluation may take."""


class ConstraintError(RequestError):
    """A constraint that cannot be met or evaluated; the message names it."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a constraint may know of the model."""

    tokenizer: Tokenizer | None
    size: int
    eos: tuple[int, ...]
    """Tokens that end a text."""

    def text(self, name: str) -> Tokenizer:
        """The tokenizer, for the constraint of this name; ConstraintError where there is none."""
        if self.tokenizer is None:
            raise ConstraintError(f"constraint {name}: the model has no tokenizer, so there is no text to judge")
        return self.tokenizer


class State(Protocol):
    """Where one generation stands under a constraint; tokens are new ones, the prompt is not seen."""

    def advance(self, token: int) -> None:
        """One more token."""
        ...

    def rollback(self, count: int) -> None:
        """The last tokens were not accepted."""
        ...

    def fork(self) -> "State":
        """A copy that goes its own way."""
        ...

    def value(self) -> float:
        """How well the tokens so far do, in [0, 1]; 1 is all that is asked for."""
        ...

    def allowed(self) -> np.ndarray | None:
        """Which tokens may come next, bool [vocab]; None for all, always or never."""
        ...


@runtime_checkable
class Constraint(Protocol):
    """What is given as `constraint=`: makes the state of each generation.

    A state may have `values(states)` too, which judges forks of it together (a list in their order), and `unmet()`,
    which says in words what is missing.
    """

    cumulative: bool
    """Whether the value grows as a text grows (keywords covered), so that gains count; else it judges what is there."""

    def start(self, vocabulary: Vocabulary) -> State:
        """The state before the first token; ConstraintError where the tokenizer cannot express it."""
        ...


class TextState:
    """A state that is a function of the text so far: the easy way to write a constraint."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        judge: Callable[..., Any],
        tokens: Sequence[int] = (),
        explain: Callable[[str], str] | None = None,
    ):
        """`judge` gives the value of a text, `explain` says what is missing in it."""
        self._tokenizer, self._judge, self._tokens, self._explain = tokenizer, judge, list(tokens), explain
        self._known: float | None = None

    def advance(self, token: int) -> None:
        self._tokens.append(token)
        self._known = None

    def rollback(self, count: int) -> None:
        if count:
            del self._tokens[-count:]
            self._known = None

    def fork(self) -> "TextState":
        return type(self)(self._tokenizer, self._judge, self._tokens, self._explain)

    def value(self) -> float:
        if self._known is None:
            self._known = self._judge(self._tokenizer.decode(self._tokens))
        return self._known

    def allowed(self) -> np.ndarray | None:
        return None

    def unmet(self) -> str:
        return self._explain(self._tokenizer.decode(self._tokens)) if self._explain else f"value {self.value():g}"


class BatchedTextState(TextState):
    """The same with a function of several texts, such as a classifier that takes them together."""

    def value(self) -> float:
        return self.values([self])[0]

    @staticmethod
    def values(states: "Sequence[BatchedTextState]") -> Sequence[float]:
        """Values of several states in one call."""
        texts = [state._tokenizer.decode(state._tokens) for state in states]
        found = list(states[0]._judge(texts))
        if len(found) != len(texts):
            raise ValueError(f"{len(found)} values for {len(texts)} texts")
        return found


class Watched:
    """Several constraints of one generation as one state: values averaged, allowed tokens those allowed by all.

    A constraint that raises, gives something that is no number in [0, 1], takes too long or allows nothing ends in a
    ConstraintError with its name.
    """

    def __init__(self, names: Sequence[str], states: Sequence[State], size: int):
        self._names, self._states, self._size = list(names), list(states), size

    @classmethod
    def start(cls, constraints: Sequence[Constraint], vocabulary: Vocabulary) -> "Watched":
        """States of all constraints before the first token."""
        names = [type(item).__name__ for item in constraints]
        states = []
        for name, item in zip(names, constraints, strict=True):
            try:
                states.append(item.start(vocabulary))
            except RequestError:
                raise
            except Exception as error:
                raise ConstraintError(f"constraint {name}: {_line(error)}") from error
        return cls(names, states, vocabulary.size)

    def advance(self, token: int) -> None:
        """One more token for all."""
        for name, state in zip(self._names, self._states, strict=True):
            self._guard(name, state.advance, token)

    def extend(self, tokens: Sequence[int]) -> None:
        """More tokens for all."""
        for name, state in zip(self._names, self._states, strict=True):
            self._guard(name, _advance, state, tokens)

    def rollback(self, count: int) -> None:
        """Fewer tokens for all."""
        for name, state in zip(self._names, self._states, strict=True):
            self._guard(name, state.rollback, count)

    def fork(self) -> "Watched":
        """A copy that goes its own way."""
        return Watched(self._names, [state.fork() for state in self._states], self._size)

    def value(self) -> float:
        """Mean of the values; 1 without constraints."""
        if not self._states:
            return 1.0
        return sum(self._value(*pair) for pair in zip(self._names, self._states, strict=True)) / len(self._states)

    def unmet(self) -> list[str]:
        """What is not met, a line for each constraint whose value is below 1."""
        found = []
        for name, state in zip(self._names, self._states, strict=True):
            value = self._value(name, state)
            if value < 1.0:
                explain = getattr(state, "unmet", None)
                found.append(f"{name}: {self._guard(name, explain) if explain else f'value {value:g}'}")
        return found

    @staticmethod
    def values(states: "Sequence[Watched]") -> list[float]:
        """Values of several forks of one state; states with `values` are judged together."""
        if not states or not states[0]._states:
            return [1.0] * len(states)
        columns = []
        for i, name in enumerate(states[0]._names):
            column = [state._states[i] for state in states]
            columns.append(states[0]._evaluate(name, column))
        return [sum(row) / len(row) for row in zip(*columns, strict=True)]

    def allowed(self) -> np.ndarray | None:
        """Tokens all of them allow, bool [vocab]; None for every token."""
        masks = []
        for name, state in zip(self._names, self._states, strict=True):
            mask = self._guard(name, state.allowed)
            if mask is not None and np.shape(mask) != (self._size,):
                raise ConstraintError(f"constraint {name}: its mask has shape {np.shape(mask)}, not ({self._size},)")
            if mask is not None:
                masks.append(mask)
        if not masks:
            return None
        mask = np.logical_and.reduce(masks)
        if not mask.any():
            raise ConstraintError(f"constraint {', '.join(self._names)}: no token is allowed here")
        return mask

    def _value(self, name: str, state: State) -> float:
        return self._checked(name, self._timed(name, state.value))

    def _evaluate(self, name: str, states: Sequence[State]) -> list[float]:
        together = getattr(states[0], "values", None)
        if together is None:
            return [self._value(name, state) for state in states]
        return [self._checked(name, value) for value in self._timed(name, together, states)]

    def _timed(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        slow, began = f"constraint {name}: one evaluation took more than {SLOW:g} seconds", time.perf_counter()
        try:
            with time_limit(SLOW):
                value = self._guard(name, call, *arguments)
        except Overtime:
            raise ConstraintError(slow) from None
        if time.perf_counter() - began > SLOW:  # where it could not be stopped
            raise ConstraintError(slow)
        return value

    @staticmethod
    def _checked(name: str, value: Any) -> float:
        if isinstance(value, bool) or not hasattr(value, "__float__") or not 0.0 <= float(value) <= 1.0:
            raise ConstraintError(f"constraint {name}: its value is {value!r}, a number from 0 to 1 is expected")
        return float(value)

    @staticmethod
    def _guard(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except RequestError:
            raise
        except Exception as error:
            raise ConstraintError(f"constraint {name}: {_line(error)}") from error


def _advance(state: State, tokens: Sequence[int]) -> None:
    for token in tokens:
        state.advance(token)


def _line(error: Exception) -> str:
    """An exception in one line."""
    text = str(error).splitlines()
    return f"{type(error).__name__}{': ' + text[0][:200] if text else ''}"


class Overtime(BaseException):
    """Raised inside a call that takes too long; no code that catches Exception keeps it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop Python code that runs longer, by a signal; outside the main thread and on Windows nothing is stopped."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise Overtime

    handler, timer = signal.signal(signal.SIGALRM, stop), signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, *timer)
        finally:
            signal.signal(signal.SIGALRM, handler)


def as_constraint(given: Any) -> list[Constraint]:
    """What `constraint=` may be, as a list: None, a constraint, keywords, a function of text, or a list of these."""
    from mindcold.constraints.keywords import Keywords
    from mindcold.constraints.rewards import TextReward

    if given is None:
        return []
    if isinstance(given, Constraint):
        return [given]
    if isinstance(given, (list, tuple)) and all(isinstance(item, str) for item in given):
        return [Keywords(given)]
    if isinstance(given, (list, tuple)):
        return [item for part in given for item in as_constraint(part)]
    if callable(given):
        return [TextReward(given)]
    raise RequestError(f"constraint: a constraint, keywords or a function of text is expected, found {given!r:.80}")
