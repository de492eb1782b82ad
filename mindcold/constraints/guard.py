"""The guard around constraints that users write: one state for all of a request, errors with a name, a time limit."""

import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mindcold.constraints.limit import Overtime, alarms_through, time_limit
from mindcold.constraints.protocol import Constraint, ConstraintError, State, Vocabulary
from mindcold.errors import RequestError, one_line, shown
from mindcold.values import plain

SECONDS = 10.0
"""What one evaluation may take."""


class ConstraintSet:
    """The constraints of one generation as one state: values averaged, allowed tokens those allowed by all.

    A constraint that raises, gives something that is no number in [0, 1], takes longer than SECONDS or allows nothing
    ends in a ConstraintError of one line that begins with its name.
    """

    def __init__(self, names: Sequence[str], states: Sequence[State], size: int):
        """`size` is the number of tokens a mask has."""
        self._names, self._states, self._size = list(names), list(states), size

    @classmethod
    def start(cls, constraints: Sequence[Constraint], vocabulary: Vocabulary) -> "ConstraintSet":
        """States of all constraints before the first token."""
        names = [type(item).__name__ for item in constraints]
        states = [_call(name, item.start, vocabulary) for name, item in zip(names, constraints, strict=True)]
        return cls(names, states, vocabulary.size)

    def advance(self, token: int) -> None:
        """One more token for all."""
        self.extend([token])

    def extend(self, tokens: Sequence[int]) -> None:
        """More tokens for all."""
        for name, state in self._named():
            _call(name, _extend, state, tokens)

    def rollback(self, count: int) -> None:
        """Fewer tokens for all."""
        for name, state in self._named():
            _call(name, state.rollback, count)

    def fork(self) -> "ConstraintSet":
        """A copy that goes its own way."""
        return ConstraintSet(self._names, [_call(name, state.fork) for name, state in self._named()], self._size)

    def value(self) -> float:
        """Mean of the values; 1 without constraints."""
        return self.values([self])[0]

    @staticmethod
    def values(states: "Sequence[ConstraintSet]") -> list[float]:
        """Values of several forks of one state; constraints whose states have `values` judge them together."""
        if not states or not states[0]._states:
            return [1.0] * len(states)
        columns = zip(*(item._states for item in states), strict=True)
        judged = [_values(name, column) for name, column in zip(states[0]._names, columns, strict=True)]
        return [sum(row) / len(row) for row in zip(*judged, strict=True)]

    def floor(self) -> float:
        """A value that it cannot fall below whatever follows; what a state does not say counts as 0."""
        if not self._states:
            return 1.0
        floors = [getattr(state, "floor", None) for state in self._states]
        found = [
            _number(name, _timed(name, floor)) if floor else 0.0
            for name, floor in zip(self._names, floors, strict=True)
        ]
        return sum(found) / len(found)

    def unmet(self) -> list[str]:
        """What is not met, a line for each constraint whose value is below 1."""
        found = []
        for name, state in self._named():
            value = _values(name, [state])[0]
            if value < 1.0:
                explain = getattr(state, "unmet", None)
                found.append(f"{name}: {one_line(_call(name, explain)) if explain else f'value {value:g}'}")
        return found

    def allowed(self) -> np.ndarray | None:
        """Tokens all of them allow, bool [vocab]; None for every token."""
        masks = self._masks()
        if not masks:
            return None
        mask = np.logical_and.reduce(list(masks.values()))
        if not mask.any():
            raise ConstraintError(f"constraint {', '.join(self._names)}: no token is allowed here")
        return mask

    def complete(self) -> bool:
        """Whether the text is whole and nothing may follow: those that forbid tokens are met, and leave none."""
        masks = self._masks()
        if not masks or np.logical_and.reduce(list(masks.values())).any():
            return False
        return all(_values(self._names[i], [self._states[i]])[0] == 1.0 for i in masks)

    def _masks(self) -> dict[int, np.ndarray]:
        """The masks of those that forbid tokens, by their number."""
        found = {i: _mask(name, state, self._size) for i, (name, state) in enumerate(self._named())}
        return {i: mask for i, mask in found.items() if mask is not None}

    def _named(self) -> list[tuple[str, State]]:
        return list(zip(self._names, self._states, strict=True))


def _extend(state: State, tokens: Sequence[int]) -> None:
    for token in tokens:
        state.advance(token)


def _mask(name: str, state: State, size: int) -> np.ndarray | None:
    mask = _call(name, state.allowed)
    if mask is None:
        return None
    found = _call(name, np.asarray, mask)
    if found.shape != (size,) or found.dtype != bool:
        raise ConstraintError(
            f"constraint {name}: its mask is {found.dtype} of shape {found.shape}, bool of ({size},) is expected"
        )
    return found


def _values(name: str, states: Sequence[State]) -> list[float]:
    """Values of forks of one state, judged together where it can."""
    together = getattr(states[0], "values", None)
    if together is None:
        return [_number(name, _timed(name, state.value)) for state in states]
    found = _timed(name, lambda: list(together(states)))
    if len(found) != len(states):
        raise ConstraintError(f"constraint {name}: {len(found)} values for {len(states)} texts")
    return [_number(name, value) for value in found]


def _number(name: str, value: Any) -> float:
    try:
        number = float("nan") if isinstance(plain(value), (bool, str, bytes, bytearray)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ConstraintError(f"constraint {name}: its value is {shown(value)}, a number from 0 to 1 is expected")
    return number


def _timed(name: str, call: Callable[[], Any]) -> Any:
    try:
        with time_limit(SECONDS):
            return _call(name, call)
    except Overtime:
        raise ConstraintError(f"constraint {name}: one evaluation took more than {SECONDS:g} seconds") from None


def _call(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """Call what a user wrote; every exception becomes a ConstraintError with the name of the constraint."""
    with alarms_through():
        try:
            return call(*arguments)
        except Exception as error:
            own = isinstance(error, RequestError)  # its message says what to do, without the name of its class
            line = one_line(error if own else "".join(traceback.format_exception_only(error)))
            named = own and line.startswith("constraint ")
            raise ConstraintError(line if named else f"constraint {name}: {line}") from error
