"""What a drafter is: it proposes a tree of tokens, and observes what was decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mindcold.ops.trigram_draft.bodies import Verified

Path = tuple[int, ...]
"""Tokens from the last known one on."""


@dataclass(slots=True)
class Draft:
    """A tree of tokens to follow the last known one, most probable nodes first, so that any prefix is a tree too."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """Number of the node each follows, -1 for the last known token; always an earlier one."""
    probabilities: list[float] = field(default_factory=list)
    """Path probability, as the drafter sees it: that all tokens up to this node are accepted; falls along the list."""

    @classmethod
    def chain(cls, tokens: Sequence[int]) -> "Draft":
        """One path."""
        return cls(list(tokens), list(range(-1, len(tokens) - 1)), [1.0] * len(tokens))

    def add(self, token: int, parent: int, probability: float = 1.0) -> int:
        """One more node after another (-1 for the last known token); its number."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.probabilities.append(probability)
        return len(self.tokens) - 1

    def child(self, node: int, token: int) -> int:
        """The node with this token after another (-1 for the last known token), -1 for none."""
        known = zip(range(len(self.tokens)), self.parents, self.tokens, strict=True)
        return next((i for i, parent, found in known if parent == node and found == token), -1)

    @classmethod
    def of_paths(cls, paths: Mapping[Path, float], count: int | None = None) -> "Draft":
        """The `count` likeliest paths; with each path those that it goes on from are given, no less likely."""
        found, nodes = cls(), dict[Path, int]({(): -1})
        for path in likeliest_paths(paths, count):
            nodes[path] = found.add(path[-1], nodes[path[:-1]], paths[path])
        return found

    def paths(self) -> list[Path]:
        """The tokens up to each node, with its own."""
        found: list[Path] = []
        for token, parent in zip(self.tokens, self.parents, strict=True):
            found.append((*(found[parent] if parent >= 0 else ()), token))
        return found

    def first(self, count: int) -> "Draft":
        """The tree of the first nodes."""
        return Draft(self.tokens[:count], self.parents[:count], self.probabilities[:count])

    def shallow(self, depth: int) -> "Draft":
        """The tree of the nodes at most so deep, where children of the last known token have depth 1."""
        if len(self.tokens) <= depth:
            return self
        return self.subset([node for node, path in enumerate(self.paths()) if len(path) <= depth])

    def likeliest(self) -> "Draft":
        """Its likeliest path: the first child of each node, from the last known token on."""
        path, last = [], -1
        for node, parent in enumerate(self.parents):
            if parent == last:
                path.append(node)
                last = node
        return self.subset(path)

    def subset(self, nodes: Sequence[int]) -> "Draft":
        """The tree of some nodes, ascending, each with its parent."""
        numbers = {-1: -1} | {node: i for i, node in enumerate(nodes)}
        parents = [numbers[self.parents[node]] for node in nodes]
        return Draft([self.tokens[n] for n in nodes], parents, [self.probabilities[n] for n in nodes])


def likeliest_paths(paths: Mapping[Path, float], count: int | None = None) -> list[Path]:
    """The `count` likeliest of some paths (None for all), of equal ones the shorter first."""
    return sorted(paths, key=lambda path: (-paths[path], len(path), path))[:count]


class Drafter(Protocol):
    """One request's source of drafts."""

    best: int
    """How many of the best tokens of every verified row it learns from."""

    @property
    def size(self) -> int | None:
        """Nodes every draft has; None leaves it to what rows cost."""
        ...

    def propose(self, ids: Sequence[int], budget: int, floor: float = 0.0) -> Draft:
        """A tree of at most `budget` tokens to follow `ids`, siblings different; those below `floor` need not be in."""
        ...

    def path(self, ids: Sequence[int], length: int, floor: float = 0.0) -> list[int]:
        """The likeliest tokens after `ids`, at most `length`, as far as the path is at least so probable."""
        ...

    def observe(self, ids: Sequence[int], new: int, rows: Verified | None = None) -> None:
        """The last `new` tokens of `ids` are decided: learn from them, and from what the model said in that pass."""
        ...
