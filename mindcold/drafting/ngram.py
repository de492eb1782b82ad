"""Lookahead decoding as a drafter (Fu et al., arXiv 2402.02057): the model guesses at n-grams of its own future.

The rows of a step are a window of W columns and N - 1 levels, which Jacobi iteration fills, and the n-grams that were
found of the current token. Both are branches of one draft tree, for a window token sees exactly its ancestors: level 0
is a path after the current token, and a token of another level follows the one above it in its column.
"""

import random
from collections import OrderedDict
from collections.abc import Sequence

from mindcold.drafting.drafter import Draft
from mindcold.ops.trigram_draft.bodies import Verified
from mindcold.sampling_params import SamplingParams

POOL = 4096
"""Tokens whose n-grams are kept; the one used longest ago goes first."""


class NgramPool:
    """The n-grams of each token: at most `limit` of the tokens that followed it, the latest first."""

    def __init__(self, limit: int):
        self.limit = limit
        self._found: OrderedDict[int, OrderedDict[tuple[int, ...], None]] = OrderedDict()

    def add(self, token: int, following: tuple[int, ...]) -> None:
        """What followed a token; the oldest of too many is forgotten (least recently used)."""
        known = self._found.setdefault(token, OrderedDict())
        self._found.move_to_end(token)
        known[following] = None
        known.move_to_end(following)
        if len(known) > self.limit:
            known.popitem(last=False)
        if len(self._found) > POOL:
            self._found.popitem(last=False)

    def of(self, token: int) -> list[tuple[int, ...]]:
        """What followed it, the latest first."""
        return list(reversed(self._found.get(token, {})))


class NgramDrafter:
    """One request's window and pool; W, N and G are `lookahead_window`, `ngram_size` and `guess_set_size`.

    Beyond the paper: window tokens that turn out right are accepted too, and a guess may begin a window path, for both
    are nodes of one tree. As in its code, a window moves on by one place in every step.
    """

    best = 1

    def __init__(self, params: SamplingParams, eos: Sequence[int]):
        self._eos = frozenset(eos)
        self._width, self._length = params.lookahead_window, params.ngram_size
        self._from_text, self._pool = params.pool_from_prompt, NgramPool(params.guess_set_size)
        self._random = random.Random(params.seed)
        self._prompt: list[int] = []
        self._levels: list[list[int]] = []
        """Level 0 without the current token, and the levels below it, each beginning in the current token's column."""
        self._draft = Draft()
        self._places: list[list[int]] = []
        """Nodes of the window in the draft under way, by level and column; the current token is -1."""

    @property
    def size(self) -> int:
        """Rows of a step beside the current token's, once the window is full."""
        return (self._length - 1) * (self._width + self._pool.limit) - 1

    def propose(self, ids: Sequence[int], budget: int, floor: float = 0.0) -> Draft:
        """The guesses of the last token, and the window where there is room for all of it."""
        draft, self._places = Draft(), []
        first, *levels = self._window()
        rows = len(first) + sum(map(len, levels))
        whole = rows <= budget
        for guess in self._pool.of(ids[-1]):
            if len(draft.tokens) + len(guess) <= budget - (rows if whole else 0):
                self._path(draft, -1, guess)
        if whole:
            self._places = [[-1, *self._path(draft, -1, first)]]
            for level in levels:
                above = self._places[-1]
                self._places.append([self._node(draft, node, token) for node, token in zip(above, level, strict=True)])
        self._draft = draft
        return draft

    def path(self, ids: Sequence[int], length: int, floor: float = 0.0) -> list[int]:
        """The latest n-gram of the last token."""
        found = self._pool.of(ids[-1])
        return list(found[0][:length]) if found else []

    def observe(self, ids: Sequence[int], new: int, rows: Verified | None = None) -> None:
        """Take up the n-grams of the window and of what is decided, and move the window on."""
        if not self._prompt:
            self._prompt = list(ids)
            self._take(ids, 0)
        else:
            self._take(ids, len(ids) - new)
        if rows is not None and self._places:
            self._advance(ids[len(ids) - new - 1], rows)

    def _take(self, ids: Sequence[int], start: int) -> None:
        """The n-grams of a text that end at or after a place."""
        if not self._from_text:
            return
        size = self._length
        for end in range(max(start, size - 1), len(ids)):
            self._pool.add(ids[end - size + 1], tuple(ids[end - size + 2 : end + 1]))

    def _window(self) -> list[list[int]]:
        """The levels; at first one of random tokens of the prompt, from which the others are filled."""
        if not self._levels:
            self._levels = [[self._some() for _ in range(self._width + self._length - 3)]]
        return self._levels

    def _some(self) -> int:
        return self._random.choice(self._prompt)

    def _path(self, draft: Draft, node: int, tokens: Sequence[int]) -> list[int]:
        """Nodes of tokens one after another."""
        found = []
        for token in tokens:
            node = self._node(draft, node, token)
            found.append(node)
        return found

    def _node(self, draft: Draft, parent: int, token: int) -> int:
        """The child of a node with this token: siblings differ."""
        known = draft.child(parent, token)
        return known if known >= 0 else draft.add(token, parent)

    def _advance(self, current: int, rows: Verified) -> None:
        """What the model says after the last level is the next one; its columns are n-grams, and it moves by one."""
        nodes = self._verified(rows)
        last = [nodes[node] for node in self._places[-1]]
        if min(last) < -1:  # a part was forbidden or found no room
            return
        said = rows.best[[1 + node for node in last], 0].tolist()
        new = [token if token >= 0 and token not in self._eos else self._some() for token in said]
        levels = [*self._levels, new]
        if len(levels) < self._length:
            self._levels = [level[1:] for level in levels]
            return
        for i, following in enumerate(zip(*levels[1:], strict=True)):
            self._pool.add(levels[0][i - 1] if i else current, following)
        self._levels = [levels[1][1:], *levels[2:]]

    def _verified(self, rows: Verified) -> dict[int, int]:
        """Number in the verified tree of each node of the draft; -2 for what was left out of it."""
        numbers = {place: i for i, place in enumerate(zip(rows.parents, rows.tokens, strict=True))}
        found = {-1: -1}
        for node, (token, parent) in enumerate(zip(self._draft.tokens, self._draft.parents, strict=True)):
            found[node] = numbers.get((found[parent], token), -2)
        return found
