"""What a drafter is: it proposes a tree of tokens, and observes what was decided."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)
class Draft:
    """A tree of guesses behind the last known token, most probable nodes first, so that any prefix is a tree too."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """Number of the node each follows, -1 for the last known token; always an earlier one."""
    odds: list[float] = field(default_factory=list)
    """Probability, as the drafter sees it, that all tokens up to this node come true; falls along the list."""

    def child(self, node: int, token: int) -> int:
        """The node with this token behind another (-1 for the last known token), -1 for none."""
        known = zip(range(len(self.tokens)), self.parents, self.tokens, strict=True)
        return next((i for i, parent, guess in known if parent == node and guess == token), -1)

    def first(self, count: int) -> "Draft":
        """The tree of the first nodes."""
        return Draft(self.tokens[:count], self.parents[:count], self.odds[:count])


class Drafter(Protocol):
    """One request's source of drafts."""

    def propose(self, ids: Sequence[int], budget: int, least: float = 0.0) -> Draft:
        """A tree of at most `budget` tokens to follow `ids`, siblings different; less probable ones need not be in."""
        ...

    def observe(self, ids: Sequence[int], new: int) -> None:
        """The last `new` tokens of `ids` are decided: learn from them."""
        ...
