"""Token ids to rows of a batch: documents packed, or examples one by one, with the labels of what counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mindcold.training.targets import IGNORED, Place, Targets


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a batch before it is filled up: int32 [n] each."""

    tokens: np.ndarray
    labels: np.ndarray
    """The token that follows each, IGNORED where it does not count."""
    documents: np.ndarray
    """Number of the document each token belongs to, from 0."""
    taught: Targets | None = None
    """[n, K]: what a teacher held likely after each, where it counts; None to learn the labels."""

    @property
    def targets(self) -> Targets:
        """[n, K]: what is to be learned after each."""
        return self.taught or Targets.of_labels(self.labels)

    @property
    def counted(self) -> int:
        """Labels that count."""
        return int((self.labels != IGNORED).sum())


@dataclass(frozen=True, slots=True)
class Example:
    """A tokenised text of which some tokens are to be learned: token ids and, for each, whether it is.

    `places` are what a teacher held likely in the place of each token that is learned.
    """

    tokens: Sequence[int]
    learned: Sequence[bool]
    places: Sequence[Place] | None = None

    def row(self) -> Row:
        """Inputs and labels: all tokens but the last, each with the next one where that is to be learned."""
        ids = np.array(self.tokens, np.int32)
        labels = np.where(np.array(self.learned[1:], bool), ids[1:], np.int32(IGNORED)).astype(np.int32)
        return Row(ids[:-1], labels, np.zeros(len(ids) - 1, np.int32), self._taught())

    def _taught(self) -> Targets | None:
        """What the teacher says of all tokens but the first."""
        if self.places is None:
            return None
        places = iter(self.places)
        return Targets.of_places([next(places) if learned else [] for learned in self.learned][1:])


def cut(documents: Iterable[Sequence[int]], length: int) -> list[Row]:
    """Documents one after the other, cut into rows of `length`; what does not fill the last row is left out.

    The last token of a document has no label: what follows it in the row is another text.
    """
    tokens, labels, numbers = [], [], []
    for number, document in enumerate(documents):
        ids = np.array(document, np.int32)
        tokens.append(ids)
        labels.append(np.append(ids[1:], np.int32(IGNORED)))
        numbers.append(np.full(len(ids), number, np.int32))
    if not tokens:
        return []
    columns = [np.concatenate(part) for part in (tokens, labels, numbers)]
    count = len(columns[0]) // length
    rows = zip(*(column[: count * length].reshape(count, length) for column in columns), strict=True)
    return [Row(ids, following, own - own[0]) for ids, following, own in rows]


def packed(rows: Iterable[Row], length: int) -> list[Row]:
    """Several examples in a row while they fit, in their order; attention stays within each."""
    found: list[Row] = []
    waiting: list[Row] = []
    for row in rows:
        if waiting and sum(len(item.tokens) for item in waiting) + len(row.tokens) > length:
            found.append(_joined(waiting))
            waiting = []
        waiting.append(row)
    return [*found, _joined(waiting)] if waiting else found


def _joined(rows: list[Row]) -> Row:
    numbers = [np.full(len(row.tokens), number, np.int32) for number, row in enumerate(rows)]
    return Row(
        np.concatenate([row.tokens for row in rows]),
        np.concatenate([row.labels for row in rows]),
        np.concatenate(numbers),
        Targets.joined([row.targets for row in rows]) if any(row.taught for row in rows) else None,
    )
