"""What a search asks of an engine: tokens for some sequences in one step, and the scores behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mindcold.decoding import choice
from mindcold.decoding.method import Contrast
from mindcold.engine import Engine, Scored, Slot, StepPlan
from mindcold.engine.engine import ROW_BUCKETS, row_bucket

SCORED_ROWS = 64
"""Most rows of a step whose scores come out: a vocabulary of float32 each."""


class Track:
    """One sequence in all streams of a method."""

    def __init__(self, engine: Engine, adapters: Sequence[int], size: int):
        opened = [engine.open(size, adapter) for adapter in adapters]
        self.engine = engine
        self.slots: list[Slot] = [slot for slot in opened if slot is not None]
        assert len(self.slots) == len(adapters)

    @property
    def length(self) -> int:
        """Committed tokens."""
        return self.slots[0].length

    def cut(self, length: int) -> None:
        """Forget what is behind so many tokens."""
        for slot in self.slots:
            slot.length = min(slot.length, length)

    def commit(self, count: int) -> None:
        """Keep the next tokens a step has written."""
        for slot in self.slots:
            self.engine.commit(slot, count)

    def follow(self, leader: "Track") -> None:
        """Come to where another is, with which it agrees as far as it goes."""
        for source, target in zip(leader.slots, self.slots, strict=True):
            self.engine.copy(source, target)

    def close(self) -> None:
        """Give the slots back."""
        for slot in self.slots:
            self.engine.close(slot)


@dataclass(slots=True)
class Ask:
    """Part of one step of an engine."""

    engine: Engine
    work: Sequence[tuple[Track, Sequence[int], int]]
    """Sequences, the tokens each is fed, and how many of the last of these are scored."""
    contrast: Contrast | None = None
    scores: bool = True
    """Whether scores of the whole vocabulary are wanted, beside the best token."""
    drafting: bool = False
    """Whether it is for a draft, and no pass of the target."""
    masked: bool = False
    """Whether tokens will be forbidden, which moves the plausibility cut of a contrast; the best token is void."""

    @property
    def rows(self) -> int:
        """Rows it takes."""
        return sum(len(tokens) * len(track.slots) for track, tokens, _ in self.work)

    @property
    def kind(self) -> tuple[int, bool, bool]:
        """Asks of the same kind may share a step."""
        return id(self.engine), self.contrast is not None, self.scores


class Answer:
    """What a step gave for one ask, its heads numbered in the order of its work."""

    def __init__(self, scored: Scored, heads: Sequence[int], experts: Sequence[int], contrast: Contrast | None):
        self._scored, self._heads, self._experts, self._contrast = scored, heads, experts, contrast

    def token(self, head: int) -> int:
        """The best token."""
        return int(self._scored.tokens[self._heads[head]])

    def logprob(self, head: int) -> float:
        """Its natural log-probability."""
        return float(self._scored.logprobs[self._heads[head]])

    def scores(self, head: int, mask: np.ndarray | None = None) -> np.ndarray:
        """Scores float32 [vocab], -inf for what a mask bool [vocab] forbids."""
        scores = self._scored.row(self._heads[head])
        if self._experts and self._contrast:
            return choice.plausible(scores, self._scored.row(self._experts[head]), mask, self._contrast.alpha)
        return choice.under_mask(scores, mask)


def answer(asks: Sequence[Ask]) -> list[Answer]:
    """One step for asks of the same kind."""
    plan, found = StepPlan(), list[tuple[list[int], list[int]]]()
    for ask in asks:
        rows = list[tuple[int, ...]]()
        for track, tokens, scored in ask.work:
            last = [plan.extend(slot, tokens) for slot in track.slots]
            rows += [tuple(row - back for row in last) for back in range(scored - 1, -1, -1)]
        contrast, alone = ask.contrast, ask.masked and ask.contrast is not None
        if contrast:
            cut = 0.0 if alone else contrast.alpha
            heads = [plan.score(row[0], row[1], cut, contrast.beta) for row in rows]
        else:
            heads = [plan.score(row[0]) for row in rows]
        found.append((heads, [plan.score(row[0]) for row in rows] if alone else []))
    rows_bucket, heads_bucket = row_bucket(len(plan.rows)), row_bucket(max(1, len(plan.heads)))
    first = asks[0]
    scored_step = first.engine.run(plan, rows_bucket, heads_bucket, first.contrast is not None, first.scores)
    return [Answer(scored_step, *heads, ask.contrast) for ask, heads in zip(asks, found, strict=True)]


def most_rows(ask: Ask) -> int:
    """Rows of a step for asks of this kind."""
    return SCORED_ROWS if ask.scores else ROW_BUCKETS[-1]
