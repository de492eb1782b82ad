"""Rollers: greedy continuations by something cheaper than the target, for lookahead."""

from collections.abc import Generator, Sequence
from typing import Protocol

from mindcold.decoding.ask import Answer, Ask, Track
from mindcold.drafting import TrigramTables
from mindcold.engine import Engine
from mindcold.engine.engine import ROW_BUCKETS

Rolling = Generator[Ask, Answer, list[list[int]]]
"""Asks, and in the end one continuation of each start."""


class Roller(Protocol):
    """One request's source of continuations."""

    passes: int
    """Steps of its model so far."""

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """At most `length` tokens behind the prefix and each start, up to and with an end-of-text."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class ModelRoller:
    """A model's own greedy continuations, all starts in the same steps; keys and values are kept between calls."""

    def __init__(self, engine: Engine, adapter: int, eos: Sequence[int], size: int, most: int):
        """Room for sequences of `size` tokens and `most` starts at once, under an adapter id of the engine."""
        self._engine, self._eos, self.passes = engine, frozenset(eos), 0
        engine.reserve(engine.used_cells + size * (most + 1))
        self._main, *self._branches = (Track(engine, [adapter], size) for _ in range(most + 1))
        self._ids: list[int] = []

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """See Roller; a single empty start stays in the cache, in case it is accepted."""
        main, alone = self._main, len(starts) == 1 and not starts[0]
        known = 0
        while known < min(len(self._ids), len(prefix) - 1) and self._ids[known] == prefix[known]:
            known += 1
        for track in (main, *self._branches):
            track.cut(known)
        for begin in range(known, len(prefix), ROW_BUCKETS[-1]):
            (first,) = yield from self._step([(main, prefix[begin : begin + ROW_BUCKETS[-1]])])
        self._ids = list(prefix)
        if alone:
            out = [first]
            while len(out) < length and out[-1] not in self._eos:
                self._ids.append(out[-1])
                out += yield from self._step([(main, [out[-1]])])
            return [out[:length]]
        futures: list[list[int]] = [[] for _ in starts]
        live = [i for i, start in enumerate(starts) if start[-1] not in self._eos]
        todo = {i: list(starts[i]) for i in live}
        for i in live:
            self._branches[i].follow(main)
        for _ in range(length):
            if not live:
                break
            tokens = yield from self._step([(self._branches[i], todo[i]) for i in live])
            for i, token in zip(live, tokens, strict=True):
                futures[i].append(token)
                todo[i] = [token]
            live = [i for i in live if futures[i][-1] not in self._eos]
        for track in self._branches:
            track.cut(len(prefix))
        return futures

    def close(self) -> None:
        """Close the tracks."""
        for track in (self._main, *self._branches):
            track.close()

    def _step(self, work: list[tuple[Track, Sequence[int]]]) -> Generator[Ask, Answer, list[int]]:
        """One step with tokens for some tracks; the best token behind each."""
        found = yield Ask(self._engine, [(track, tokens, 1) for track, tokens in work], scores=False)
        self.passes += 1
        for track, tokens in work:
            track.commit(len(tokens))
        return [found.token(i) for i in range(len(work))]


class TrigramRoller:
    """The likeliest path of the trigram tables: no model at all."""

    def __init__(self, tables: TrigramTables, key: str, eos: Sequence[int]):
        self._tables, self._own, self._eos, self.passes = tables, tables.own(key), frozenset(eos), 0

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """See Roller; shorter where nothing is known."""
        yield from ()
        return [self._one([*prefix, *start], length) for start in starts]

    def close(self) -> None:
        """Nothing is held."""

    def _one(self, ids: list[int], length: int) -> list[int]:
        before = len(ids)
        while len(ids) - before < length and ids[-1] not in self._eos:
            tokens, _, _ = self._tables.body.draft(self._tables.shared, self._own, ids, 1, 1, 0.0)
            if not tokens:
                break
            ids.append(tokens[0])
        return ids[before:]
