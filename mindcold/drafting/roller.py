"""Rollers: greedy continuations by something cheaper than the target, for lookahead."""

from collections.abc import Sequence
from typing import Protocol

from mindcold.drafting.trigram import TrigramTables
from mindcold.engine import Engine, Slot, StepPlan
from mindcold.engine.engine import ROW_BUCKETS, row_bucket
from mindcold.ops.trigram_draft.reference import last_tokens


class Roller(Protocol):
    """One request's source of continuations."""

    passes: int
    """Steps of its model so far."""

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
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
        opened = [engine.open(size, adapter) for _ in range(most + 1)]
        self._slots = [slot for slot in opened if slot is not None]
        assert len(self._slots) == most + 1
        self._ids: list[int] = []

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
        """See Roller; a single empty start stays in the cache, in case it is accepted."""
        main, alone = self._slots[0], len(starts) == 1 and not starts[0]
        known = 0
        while known < min(len(self._ids), len(prefix) - 1) and self._ids[known] == prefix[known]:
            known += 1
        for slot in self._slots:
            slot.length = min(slot.length, known)
        first = self._feed(main, list(prefix[known:]))
        self._ids = list(prefix)
        if alone:
            out = [first]
            while len(out) < length and out[-1] not in self._eos:
                self._ids.append(out[-1])
                out.append(self._step([(main, [out[-1]])])[0])
            return [out[:length]]
        futures: list[list[int]] = [[] for _ in starts]
        live = [i for i, start in enumerate(starts) if start[-1] not in self._eos]
        todo = {i: list(starts[i]) for i in live}
        for i in live:
            self._engine.copy(main, self._slots[1 + i])
        for _ in range(length):
            if not live:
                break
            tokens = self._step([(self._slots[1 + i], todo[i]) for i in live])
            for i, token in zip(live, tokens, strict=True):
                futures[i].append(token)
                todo[i] = [token]
            live = [i for i in live if futures[i][-1] not in self._eos]
        for slot in self._slots[1:]:
            slot.length = min(slot.length, len(prefix))
        return futures

    def close(self) -> None:
        """Close the slots."""
        for slot in self._slots:
            self._engine.close(slot)

    def _feed(self, slot: Slot, tokens: list[int]) -> int:
        """Tokens in steps as large as there are; the token that follows."""
        most = ROW_BUCKETS[-1]
        for first in range(0, len(tokens), most):
            token = self._step([(slot, tokens[first : first + most])])[0]
        return token

    def _step(self, work: Sequence[tuple[Slot, list[int]]]) -> list[int]:
        """One step with tokens for some slots; the best token behind each."""
        plan = StepPlan()
        for slot, tokens in work:
            plan.score(plan.extend(slot, tokens))
        scored = self._engine.run(plan, row_bucket(len(plan.rows)), row_bucket(len(plan.heads)), contrast=False)
        self.passes += 1
        for slot, tokens in work:
            self._engine.commit(slot, len(tokens))
        return scored.tokens[: len(work)].tolist()


class TrigramRoller:
    """The likeliest path of the trigram tables: no model at all."""

    def __init__(self, tables: TrigramTables, key: str, eos: Sequence[int]):
        self._tables, self._own, self._eos, self.passes = tables, tables.own(key), frozenset(eos), 0

    def roll(self, prefix: Sequence[int], starts: Sequence[Sequence[int]], length: int) -> list[list[int]]:
        """See Roller; shorter where nothing is known."""
        return [self._one([*prefix, *start], length) for start in starts]

    def close(self) -> None:
        """Nothing is held."""

    def _one(self, ids: list[int], length: int) -> list[int]:
        before = len(ids)
        while len(ids) - before < length and ids[-1] not in self._eos:
            last = last_tokens(ids, len(ids))
            tokens, _, _ = self._tables.body.draft(self._tables.shared, self._own, last, 1, 1, 0.0)
            if not tokens:
                break
            ids.append(tokens[0])
        return ids[before:]
