"""Roll-outs: greedy continuations by something cheaper than the target, which look ahead for it."""

import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mindcold.decoding.drafts.draft_text import DraftText
from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, SequenceSpec
from mindcold.drafting import Draft, Drafter
from mindcold.engine import Engine
from mindcold.engine import Sequence as KVSequence

MAX_GUESS, MIN_PROBABILITY = 4, 0.35
"""Tokens of the drafts that roll-outs verify on their way at most, and the path probability these have to have."""

Rolling = Generator[ForwardRequest, list[ForwardResult], list[list[int]]]
"""Passes that are asked for, and in the end one continuation of each start."""


@dataclass(slots=True)
class RolloutSource:
    """What looks ahead: a model under an adapter."""

    drafter: Drafter | None
    """Knows what the model is likely to say, where it rolls out."""
    engine: Engine
    adapter: int = -1
    limit: int = sys.maxsize
    """Tokens the model's context holds."""

    def sequences(self, size: int, branches: int = 0, lookahead: int = 0, nodes: int = 0) -> list[SequenceSpec]:
        """What it needs for texts of `size` tokens, so many starts at once, and so many nodes of trees after a text."""
        branch = SequenceSpec(self.engine, [self.adapter], lookahead + 2)
        text = SequenceSpec(self.engine, [self.adapter], min(size, self.limit) + nodes, prompt=True)
        return [text, *[branch] * branches]

    def open(self, prompt: Sequence[int], eos: Sequence[int], sequences: list[KVSequence]) -> "ModelRollouts":
        """One request's roll-outs, on the sequences it needs."""
        assert self.drafter is not None
        return ModelRollouts(self.drafter, prompt, eos, sequences, self.limit)


class Rollouts(Protocol):
    """One request's source of continuations."""

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """What follows the prefix and each start, the two at most `length` tokens, up to and with an end-of-text."""
        ...


def guess(drafter: Drafter, ids: Sequence[int], room: int) -> Draft:
    """A few tokens a model is likely to say after a text, for which it has so much room; they change no token."""
    return Draft.chain(drafter.path(ids, min(room, MAX_GUESS), MIN_PROBABILITY))


def until_end(tokens: Sequence[int], eos: frozenset[int]) -> list[int]:
    """Tokens up to and with the first end-of-text."""
    end = next((i + 1 for i, token in enumerate(tokens) if token in eos), len(tokens))
    return list(tokens[:end])


class ModelRollouts:
    """A model's own greedy continuations, all starts in the same steps; keys and values are kept between calls."""

    def __init__(
        self,
        drafter: Drafter,
        prompt: Sequence[int],
        eos: Sequence[int],
        sequences: list[KVSequence],
        limit: int = sys.maxsize,
    ):
        self._drafter, self._eos, self._limit = drafter, frozenset(eos), limit
        self._main, *self._branches = sequences
        self._text = DraftText(self._main, prompt)

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """See Rollouts; a single empty start stays in the cache, in case it is accepted."""
        main, alone, prefix = self._main, len(starts) == 1 and not starts[0], list(prefix)
        length = min(length, self._limit - len(prefix))
        if length < 1:
            return [[] for _ in starts]
        self._text.follow(prefix)
        (result,) = yield ForwardRequest([Feed(main)], drafting=True)
        if alone:
            first = result.token()
            main.pending = [first]
            (out,) = yield from self._extend([main], [prefix], [[first]], [length])
            self._text.hold(prefix + out)
            self._drafter.observe(prefix + out, len(out))
            return [out]
        live = [i for i, start in enumerate(starts) if start[-1] not in self._eos and len(start) < length]
        branches = [self._branches[i] for i in live]
        for branch, i in zip(branches, live, strict=True):
            branch.share(main)
            branch.pending = list(starts[i])
        texts = [prefix + list(starts[i]) for i in live]
        rooms = [length - len(starts[i]) for i in live]
        found = yield from self._extend(branches, texts, [[] for _ in live], rooms)
        futures = dict(zip(live, found, strict=True))
        return [futures.get(i, []) for i in range(len(starts))]

    def _extend(
        self, sequences: list[KVSequence], texts: list[list[int]], outs: list[list[int]], rooms: list[int]
    ) -> Rolling:
        """Go on from each sequence's pending tokens until it has put out what it has room for, or ended."""
        live = list(range(len(sequences)))
        while live := [i for i in live if len(outs[i]) < rooms[i] and not (outs[i] and outs[i][-1] in self._eos)]:
            feeds = []
            for i in live:
                draft = guess(self._drafter, [*texts[i], *outs[i]], rooms[i] - len(outs[i]) - 1)
                feeds.append(Feed(sequences[i], draft))
            for i, result in zip(live, (yield ForwardRequest(feeds, drafting=True)), strict=True):
                said = list(result.accept(result.best))
                sequences[i].accept([node for _, node in said if node >= 0])
                outs[i] += until_end([selected.token for selected, _ in said], self._eos)
                sequences[i].pending = outs[i][-1:]
        return outs


class TrigramRollouts:
    """The likeliest path of the trigram tables: no model at all."""

    def __init__(self, drafter: Drafter, eos: Sequence[int]):
        self._drafter, self._eos = drafter, frozenset(eos)

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """See Rollouts; shorter where nothing is known."""
        yield from ()
        return [self._one([*prefix, *start], length - len(start)) for start in starts]

    def _one(self, ids: list[int], length: int) -> list[int]:
        return [] if ids[-1] in self._eos or length < 1 else until_end(self._drafter.path(ids, length), self._eos)
