"""The protocol of constraints: what is given as one, the state of one generation under it, what it may know."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from mindcold.errors import RequestError
from mindcold.tokenizer import Tokenizer


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

    A state may have more: `values(states)` judges forks of it together (a list in their order), `unmet()` says in words
    what is missing, and `floor()` is a value it cannot fall below whatever follows, by which searches end early.
    """

    cumulative: bool
    """Whether the value grows as a text grows (keywords covered), so that gains count; else it judges what is there."""

    def start(self, vocabulary: Vocabulary) -> State:
        """The state before the first token; ConstraintError where the tokenizer cannot express it."""
        ...
