"""Rollers: greedy continuations by something cheaper than the target, for lookahead."""

from collections.abc import Generator, Sequence
from typing import Protocol

from mindcold.decoding.ask import Answer, Ask, Track
from mindcold.drafting import TrigramTables
from mindcold.engine import Engine
from mindcold.engine.engine import ROW_BUCKETS

LONGEST_GUESS, LEAST_GUESS = 4, 0.35
"""Tokens of a guess at most, and the probability it has to have."""

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


class Guesses:
    """Short guesses at what a model will say, verified in the steps it makes anyway; they change no token."""

    def __init__(self, tables: TrigramTables, key: str):
        self._tables, self._key = tables, key

    def __call__(self, ids: Sequence[int], room: int) -> list[int]:
        """A few tokens that are likely behind a text."""
        return self._tables.likeliest(self._key, ids, min(room, LONGEST_GUESS), LEAST_GUESS) if room > 0 else []


def accept(guess: Sequence[int], tokens: Sequence[int]) -> list[int]:
    """What a model has said behind a token and a guess: its own tokens up to the first that is not the guess's."""
    right = 0
    while right < len(guess) and guess[right] == tokens[right]:
        right += 1
    return list(tokens[: right + 1])


class ModelRoller:
    """A model's own greedy continuations, all starts in the same steps; keys and values are kept between calls."""

    def __init__(self, engine: Engine, adapter: int, eos: Sequence[int], size: int, most: int, guess: Guesses):
        """Room for sequences of `size` tokens and `most` starts at once, under an adapter id of the engine."""
        self._engine, self._eos, self._guess, self.passes = engine, frozenset(eos), guess, 0
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
        prefix = list(prefix)
        for begin in range(known, len(prefix), ROW_BUCKETS[-1]):
            (first,) = yield from self._step([(main, prefix[begin : begin + ROW_BUCKETS[-1]], [])])
        self._ids = prefix
        if alone:
            (out,) = yield from self._extend([main], prefix, [first], [list(first)], length)
            self._ids = prefix + out[:-1]
            return [out]
        live = [i for i, start in enumerate(starts) if start[-1] not in self._eos]
        tracks = [self._branches[i] for i in live]
        for track in tracks:
            track.follow(main)
        found = yield from self._extend(tracks, prefix, [list(starts[i]) for i in live], [[] for _ in live], length)
        for track in self._branches:
            track.cut(len(prefix))
        futures = dict(zip(live, found, strict=True))
        return [futures.get(i, []) for i in range(len(starts))]

    def close(self) -> None:
        """Close the tracks."""
        for track in (self._main, *self._branches):
            track.close()

    def _extend(
        self, tracks: list[Track], prefix: list[int], pending: list[list[int]], outs: list[list[int]], length: int
    ) -> Rolling:
        """Feed each track its pending tokens and go on, until it has put out `length` tokens or ended."""
        texts = [list(tokens) for tokens in pending]
        live = list(range(len(tracks)))
        while live := [i for i in live if len(outs[i]) < length and not (outs[i] and outs[i][-1] in self._eos)]:
            work = []
            for i in live:
                guess = self._guess(prefix + texts[i], length - len(outs[i]) - 1)
                work.append((tracks[i], pending[i], guess))
            for i, tokens in zip(live, (yield from self._step(work)), strict=True):
                end = next((j + 1 for j, token in enumerate(tokens) if token in self._eos), len(tokens))
                outs[i] += tokens[:end]
                texts[i] += tokens[:end]
                pending[i] = outs[i][-1:]
        return outs

    def _step(self, work: Sequence[tuple[Track, list[int], list[int]]]) -> Generator[Ask, Answer, list[list[int]]]:
        """One step with tokens and guesses for some tracks; what the model says behind each."""
        fed = [(track, tokens + guess, len(guess) + 1) for track, tokens, guess in work]
        found = yield Ask(self._engine, fed, scores=False, drafting=True)
        self.passes += 1
        said, head = [], 0
        for track, tokens, guess in work:
            said.append(accept(guess, [found.token(head + i) for i in range(len(guess) + 1)]))
            track.commit(len(tokens) + len(said[-1]) - 1)
            head += len(guess) + 1
        return said


class TrigramRoller:
    """The likeliest path of the trigram tables: no model at all."""

    def __init__(self, tables: TrigramTables, key: str, eos: Sequence[int]):
        self._tables, self._key, self._eos, self.passes = tables, key, frozenset(eos), 0

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> Rolling:
        """See Roller; shorter where nothing is known."""
        yield from ()
        return [self._one([*prefix, *start], length) for start in starts]

    def close(self) -> None:
        """Nothing is held."""

    def _one(self, ids: list[int], length: int) -> list[int]:
        if ids[-1] in self._eos:
            return []
        out = self._tables.likeliest(self._key, ids, length)
        end = next((i + 1 for i, token in enumerate(out) if token in self._eos), len(out))
        return out[:end]
