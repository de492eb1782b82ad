"""What one step of a model carries: feeds of many requests, their pending tokens, and drafts where rows are left."""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindcold.decoding.forward import MAX_SCORED, Feed, ForwardRequest, ForwardResult
from mindcold.engine import MAX_ROWS, Engine, Sequence, StepPlan
from mindcold.engine.pool import Segment

if TYPE_CHECKING:
    from mindcold.decoding.scheduler import ActiveRequest

DRAFT_ROWS = 64
"""Rows that drafts fill a step up to by themselves; more, up to MAX_ROWS, where `draft_tokens` asks for it."""


@dataclass(slots=True, eq=False)
class Work:
    """One feed of a pass that a request waits for."""

    owner: "ActiveRequest"
    forward: ForwardRequest
    index: int
    """Number of the feed in the pass."""
    feed: Feed
    complete: bool = False


class StepBatch:
    """The work of one step, taken from the front of a queue; what does not fit is for later."""

    def __init__(self, engine: Engine, queue: deque[Work]):
        """Choose what goes together: first what needs a token next, then prompts, in chunks, in the rows left."""
        self.engine = engine
        self.rows, self.scores, self.timed = 0, False, False
        self._whole: list[Work] = []
        self._parts: list[tuple[Work, int]] = []
        self._heads = 0
        self._segments: set[Segment] = set()
        prefill = [item for item in queue if len(item.feed.sequence.pending) > 1]
        self.decoding = not prefill
        for item in queue:
            if len(item.feed.sequence.pending) == 1:
                self._take(item, MAX_ROWS)
        for item in prefill:
            sequence = item.feed.sequence
            streams = len(sequence.streams)
            limit = min(MAX_ROWS, max(item.owner.state.params.prefill_chunk, self.rows + streams))
            if not self._take(item, limit):
                count = min(len(sequence.pending) - 1, (limit - self.rows) // streams)
                if count > 0 and self._add_segments(sequence):
                    self._parts.append((item, count))
                    self.rows += count * streams

    def _take(self, item: Work, limit: int) -> bool:
        """Add a whole feed if it fits so many rows."""
        feed, scores = item.feed, self.scores or item.forward.scores
        rows = (len(feed.sequence.pending) + len(feed.draft.tokens)) * len(feed.sequence.streams)
        if self.rows + rows > limit or self._heads + feed.heads > (MAX_SCORED if scores else MAX_ROWS):
            return False
        if not self._add_segments(feed.sequence):
            return False
        self._whole.append(item)
        self.rows += rows
        self._heads += feed.heads
        self.scores = scores
        return True

    def _add_segments(self, sequence: Sequence) -> bool:
        """Count the segments of a sequence and of those it shares, if the table of the step has room for them."""
        needed = {segment for stream in sequence.streams for segment in stream.chain()} - self._segments
        if len(self._segments) + len(needed) > MAX_ROWS:
            return False
        self._segments |= needed
        return True

    def run(self) -> list[tuple[Work, ForwardResult]]:
        """Run the step; the feeds it completes with their results."""
        if self.decoding:
            self._offer_rows()
        plan, firsts = StepPlan(), []
        for item in self._whole:
            firsts.append(len(plan.heads))
            _add(plan, item)
        for item, count in self._parts:
            sequence = item.feed.sequence
            plan.extend(sequence, sequence.pending[:count])
        self.rows = len(plan.rows)
        output = self.engine.run(plan, self.scores, _few(max((item.forward.best for item in self.passes()), default=0)))
        self.timed = output.seconds is not None
        for item, count in self._parts:
            sequence = item.feed.sequence
            sequence.commit(count)
            sequence.pending = sequence.pending[count:]
        done = []
        for item, first in zip(self._whole, firsts, strict=True):
            sequence = item.feed.sequence
            sequence.commit(len(sequence.pending))
            sequence.pending = []
            item.complete = True
            done.append((item, ForwardResult(item.feed, output, first, item.forward.best)))
        return done

    def passes(self) -> list[Work]:
        """One of its feeds for each pass that had rows in the step."""
        found = {id(item.forward): item for item in [*self._whole, *(item for item, _ in self._parts)]}
        return list(found.values())

    def _offer_rows(self) -> None:
        """Let those that draft fill the rows that are left."""
        drafting = [item for item in self._whole if item.forward.offer]
        streams = sum(len(item.feed.sequence.streams) for item in drafting)
        known, heads = self.rows, MAX_SCORED if self.scores else MAX_ROWS
        for i, item in enumerate(drafting):
            wanted, own = item.owner.state.draft_size, len(item.feed.sequence.streams)
            rows = MAX_ROWS if wanted else max(DRAFT_ROWS, known)
            room = min((rows - self.rows) // streams, (heads - self._heads) // (len(drafting) - i))
            assert item.forward.offer
            item.forward.offer(known, len(drafting), max(0, room))
            self.rows += len(item.feed.draft.tokens) * own
            self._heads += len(item.feed.draft.tokens)
            streams -= own


def _add(plan: StepPlan, item: Work) -> None:
    """Rows and heads of one feed."""
    feed, contrast = item.feed, item.forward.contrast
    draft, first = feed.draft, len(plan.heads)
    roots = plan.extend(feed.sequence, feed.sequence.pending, draft.tokens, draft.parents)
    alpha, beta = contrast or (0.0, 0.0)
    masks = feed.masks or [None] * feed.heads
    plan.score(roots, alpha, beta, mask=masks[0])
    for i, (token, parent) in enumerate(zip(draft.tokens, draft.parents, strict=True)):
        rows = [root + 1 + i for root in roots]
        plan.score(rows, alpha, beta, token, first + 1 + parent, masks[1 + i])


def _few(best: int) -> int:
    """A power of two from 8 on, where any of the best tokens are wanted: each number has graphs of its own."""
    return max(8, 1 << (best - 1).bit_length()) if best else 0
