"""The batches of a run: rows of like length together, in an order that depends on the seed alone."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mindcold.errors import TrainingError
from mindcold.jobs.rank import Rank
from mindcold.training.batch import Batch
from mindcold.training.loss import SLICE
from mindcold.training.rows import Row
from mindcold.training.targets import Targets

SHORTEST, STEP = 32, 16
"""Tokens of the shortest rows that have graphs of their own, and what lengths are multiples of."""


def widths(rows: Sequence[Row], length: int, batch: int) -> list[int]:
    """Lengths of rows that get graphs of their own, ascending: `length`, its half and its quarter, where rows fit.

    A length that fewer than a batch of rows have is left out, since its rows go up to the next one.
    """
    found, before = [], 0
    for part in (4, 2, 1):
        width = length if part == 1 else max(SHORTEST, -(-length // (part * STEP)) * STEP)
        count = sum(before < len(row.tokens) <= width for row in rows)
        if part == 1 or (width < length and count >= batch and width not in found):
            found.append(width)
            before = width
    return found


class TrainingSet:
    """Rows as the batches of every step.

    An epoch is a permutation of the rows, put together by length; the few that fill no batch are left out of it. A step
    has `accumulation` batches on each of the processes, which take them in turn: the same batches make up a step
    whether processes or accumulation are many. Batches are scaled so that their losses add up to the mean over all
    labels of the step. Raises TrainingError for rows that do not fit or are fewer than a batch.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        length: int,
        batch: int,
        seed: int,
        accumulation: int = 1,
        rank: Rank | None = None,
        buckets: bool = True,
    ):
        if len(rows) < batch:
            raise TrainingError(f"data: {len(rows)} rows are fewer than one batch of {batch}; give more text")
        self._rows, self._batch, self._seed = rows, batch, seed
        self._accumulation, self._rank = accumulation, rank or Rank()
        self._lengths = np.array([len(row.tokens) for row in rows])
        self._counted = np.array([row.counted for row in rows])
        if self._lengths.max() > length:
            raise TrainingError(f"data: a row of {self._lengths.max()} tokens is above sequence_length {length}")
        self._widths = widths(rows, length, batch) if buckets else [length]
        # in graphs of a fixed size there is room for the batch with the largest number of labels
        self._room = {width: self._room_of(width) for width in self._widths}
        self._likely = max(row.taught.width if row.taught else 1 for row in rows)
        self._plan = lru_cache(2)(self._make_plan)

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return len(self._rows) // self._batch

    @property
    def per_step(self) -> int:
        """Batches of a step, of all processes."""
        return self._accumulation * self._rank.size

    def steps(self, epochs: float) -> int:
        """Steps that go through the rows so many times, at least one."""
        return max(1, round(epochs * self.per_epoch / self.per_step))

    def labels(self, step: int) -> int:
        """Labels that count in a step, from 0."""
        return sum(int(self._counted[self._place(number)[1]].sum()) for number in self._numbers(step))

    def batches(self, step: int) -> list[Batch]:
        """What this process computes in a step, from 0."""
        scale = 1.0 / self.labels(step)
        numbers = self._numbers(step)[self._rank.number :: self._rank.size]
        return [self._make(*self._place(number), scale, number) for number in numbers]

    def in_order(self) -> list[Batch]:
        """All rows once, the last batch filled up with rows that do not count; scaled to the mean over all labels."""
        order = np.argsort(self._lengths, kind="stable")
        scale = 1.0 / int(self._counted.sum())
        found: list[Batch] = []
        for first in range(0, len(order), self._batch):
            chosen = order[first : first + self._batch]
            width = next(width for width in self._widths if width >= self._lengths[chosen].max())
            found.append(self._make(width, chosen, scale, len(found)))
        return found

    def _numbers(self, step: int) -> range:
        return range(step * self.per_step, (step + 1) * self.per_step)

    def _place(self, number: int) -> tuple[int, np.ndarray]:
        """Width and rows of a batch of the run."""
        epoch, place = divmod(number, self.per_epoch)
        return self._plan(epoch)[place]

    def _make_plan(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """Width and rows of all batches of an epoch."""
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(len(self._rows))
        found: list[tuple[int, np.ndarray]] = []
        left, before = order[:0], -1
        for width in self._widths:
            fits = (self._lengths[order] > before) & (self._lengths[order] <= width)
            here = np.concatenate([left, order[fits]])
            whole = len(here) // self._batch * self._batch
            found += [(width, rows) for rows in here[:whole].reshape(-1, self._batch)]
            left, before = here[whole:], width
        return [found[i] for i in rng.permutation(len(found))] if len(self._widths) > 1 else found

    def _room_of(self, width: int) -> int:
        """Places of a batch: its largest possible number of labels, rounded up to whole slices."""
        counts = np.sort(self._counted[self._lengths <= width])[::-1]
        most = max(1, int(counts[: self._batch].sum()))
        return most if most <= SLICE else -(-most // SLICE) * SLICE

    def _make(self, width: int, chosen: np.ndarray, scale: float, number: int) -> Batch:
        tokens = np.zeros((self._batch, width), np.int32)
        documents = np.full((self._batch, width), -1, np.int32)
        targets = Targets.empty(self._batch * width, self._likely)
        for line, place in enumerate(chosen):
            row = self._rows[place]
            count = len(row.tokens)
            tokens[line, :count], documents[line, :count] = row.tokens, row.documents
            targets.put(slice(line * width, line * width + count), row.targets)
        found = np.flatnonzero(targets.shares.any(1))
        room = self._room[width]
        places, wanted = np.zeros(room, np.int32), Targets.empty(room, self._likely)
        places[: len(found)] = found
        wanted.put(slice(len(found)), targets[found])
        return Batch(tokens, documents, places, wanted, scale, number)
