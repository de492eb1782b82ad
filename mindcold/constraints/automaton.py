"""Where a text stands in an automaton over tokens: what a trie of items and a compiled pattern have in common."""

from typing import Protocol

import numpy as np

from mindcold.constraints.protocol import Vocabulary


class Automaton(Protocol):
    """Numbered states and what leads from one to the next; ends of text are not among its tokens."""

    def step(self, state: int, token: int) -> int | None:
        """The state after one more token, None where it leads nowhere."""
        ...

    def following(self, state: int) -> np.ndarray:
        """Tokens that lead somewhere, integers."""
        ...

    def is_final(self, state: int) -> bool:
        """Whether a text may end here."""
        ...


class AutomatonState:
    """The states a text has gone through, None where it has left the automaton; `State` of a constraint."""

    def __init__(self, automaton: Automaton, vocabulary: Vocabulary, *states: int | None):
        self._automaton, self._vocabulary, self._states = automaton, vocabulary, list(states)

    def advance(self, token: int) -> None:
        """One more token; an end of text changes nothing."""
        state = self._states[-1]
        if state is not None and token not in self._vocabulary.eos:
            state = self._automaton.step(state, token)
        self._states.append(state)

    def rollback(self, count: int) -> None:
        """The last tokens were not accepted."""
        if count:
            del self._states[-count:]

    def fork(self) -> "AutomatonState":
        """A copy that goes its own way."""
        return AutomatonState(self._automaton, self._vocabulary, *self._states)

    def value(self) -> float:
        """1 where the text may end, else 0."""
        state = self._states[-1]
        return float(state is not None and self._automaton.is_final(state))

    def unmet(self) -> str:
        """What is missing, in words."""
        return "the text does not match" if self._states[-1] is None else "the text is not complete"

    def allowed(self) -> np.ndarray:
        """Which tokens may come next, bool [vocab]."""
        mask, state = np.zeros(self._vocabulary.size, bool), self._states[-1]
        if state is not None:
            ids = self._automaton.following(state)
            mask[ids[ids < self._vocabulary.size]] = True
        if self.value():
            mask[list(self._vocabulary.eos)] = True
        return mask
