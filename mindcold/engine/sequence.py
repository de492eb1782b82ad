"""A sequence: one text in every stream its method scores, with its keys and values."""

from collections.abc import Sequence as Items
from typing import TYPE_CHECKING

from mindcold.engine.pool import Segment
from mindcold.ops.rows import MAX_DEPTH

if TYPE_CHECKING:
    from mindcold.engine.engine import Engine


class Sequence:
    """Tokens of one text: `length` of them are in the KV cache of every stream, `pending` ones are to follow.

    The streams are the expert and, where a method contrasts, the amateur. A sequence may share the beginning of another
    (`share`): candidates, beams and common prompts then keep one copy of its keys and values.
    """

    __slots__ = ("engine", "length", "pending", "streams")

    def __init__(self, engine: "Engine", streams: list[Segment]):
        self.engine, self.streams = engine, streams
        self.length = 0
        self.pending: list[int] = []

    def commit(self, count: int) -> None:
        """Keep the next `count` tokens a step has written."""
        segment = self.streams[0]
        assert self.length + count <= segment.first + segment.size
        self.length += count

    def accept(self, path: Items[int]) -> None:
        """Keep the accepted nodes of the draft a step has written after the committed tokens.

        `path` are numbers in the draft, ascending. Their keys and values are moved together at the start of the next
        step; the rest of the draft is forgotten.
        """
        moved = [(node, i) for i, node in enumerate(path) if node != i]
        if moved:
            for segment in self.streams:
                slot = segment.slot(self.length)
                self.engine.move((slot + node, slot + i) for node, i in moved)
        self.commit(len(path))

    def trim(self, length: int) -> None:
        """Forget what comes after so many tokens."""
        self.length = min(self.length, length)

    def share(self, leader: "Sequence") -> None:
        """Stand where another does, on its keys and values; what it held before is forgotten.

        The leader must keep these tokens as long as they are shared.
        """
        assert self.engine.branches
        for mine, theirs in zip(self.streams, leader.streams, strict=True):
            mine.parent, mine.first = theirs, leader.length
            assert mine.adapter == theirs.adapter and len(mine.chain()) <= MAX_DEPTH
        self.length, self.pending = leader.length, []

    def copy(self, leader: "Sequence", start: int, path: Items[int] = ()) -> None:
        """Take over the committed tokens of another from position `start` on, up to which the two agree.

        `path` are nodes of the draft that the last step has written after them, to follow them here; the leader must
        not have accepted any yet. The keys and values are copied at the start of the next step.
        """
        end = leader.length
        for mine, theirs in zip(self.streams, leader.streams, strict=True):
            places = range(start, end)
            self.engine.move((theirs.slot(place), mine.slot(place)) for place in places)
            self.engine.move((theirs.slot(end) + node, mine.slot(end + i)) for i, node in enumerate(path))
        self.length = end + len(path)

    def copy_beginning(self, leader: "Sequence", length: int) -> None:
        """Start with copies of the first `length` tokens of another of the same adapters.

        They are made at the start of the next step; the leader need not be open any more by then.
        """
        assert self.length == 0 and length <= leader.length
        for mine, theirs in zip(self.streams, leader.streams, strict=True):
            assert mine.adapter == theirs.adapter and mine.parent is None
            self.engine.move((source, mine.slot(place)) for place, source in enumerate(theirs.slots(length)))
        self.length = length

    def shrink(self, length: int) -> None:
        """Forget what comes after so many tokens, and give its slots back."""
        self.trim(length)
        self.pending = []
        self.engine.shrink(self, length)

    def adopt(self, other: "Sequence") -> None:
        """Go on where another stands, with its pending tokens and copies of its keys and values.

        It may be of another engine whose cache has the same shape, so of the same model with weights of another dtype.
        """
        mine, theirs = ([slot for item in part.streams for slot in item.slots(other.length)] for part in (self, other))
        self.engine.write(mine, other.engine.read(theirs))
        self.length, self.pending = other.length, list(other.pending)

    def close(self) -> None:
        """Give the slots back."""
        self.engine.close(self)
