"""What a method asks the scheduler for: a pass of a model over some sequences, and what it gives."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mindcold.constraints import ConstraintError
from mindcold.decoding.request import Contrast, SelectedToken
from mindcold.drafting import Draft, Verified
from mindcold.engine import Engine, StepOutput
from mindcold.engine import Sequence as KVSequence
from mindcold.errors import RequestError

MAX_SCORED = 64
"""Heads of a step whose scores come out at most: a vocabulary of float32 each."""

Mask = np.ndarray | None
"""Which tokens may come, bool [vocab]; None for all."""

Candidates = list[tuple[int, float]]
"""Tokens with their log-probabilities, best first, the lowest ids on ties."""


@dataclass(slots=True)
class SequenceSpec:
    """A sequence a method needs for as long as its request runs."""

    engine: Engine
    adapters: list[int]
    """Adapter id of each stream."""
    size: int
    """Tokens, without those of a sequence it shares."""
    prompt: bool = False
    """Whether it begins with the prompt of the request, of which others may have the beginning already."""

    @property
    def slots(self) -> int:
        """KV slots."""
        return self.engine.slots_for(self.size) * len(self.adapters)


@dataclass(slots=True)
class Feed:
    """One sequence in a pass: its pending tokens, which become part of it, and a draft after them, which does not.

    The scores that are wanted are those after the last pending token and after each node of the draft.
    """

    sequence: KVSequence
    draft: Draft = field(default_factory=Draft)
    masks: Sequence[Mask] = ()
    """Of the last pending token and each node; empty for none."""

    @property
    def heads(self) -> int:
        """Places that are scored."""
        return 1 + len(self.draft.tokens)


@dataclass(slots=True)
class ForwardRequest:
    """One pass of a model, which may share its steps with the passes of other requests."""

    feeds: list[Feed]
    contrast: Contrast | None = None
    scores: bool = False
    """Whether scores of the whole vocabulary are wanted, beside the best token."""
    best: int = 0
    """How many of the best tokens of each place are wanted, beside the choice."""
    drafting: bool = False
    """Whether it is for a draft, and no pass of the target."""
    offer: Callable[[int, int, int], None] | None = None
    """Told how many rows the step has anyway, how many requests draft in it, and how many draft nodes fit; may put a
    draft into its feed."""


class ForwardResult:
    """What a pass gave for one feed; head 0 is the last pending token, head 1 + i node i of the draft."""

    __slots__ = ("_best", "_first", "_output", "feed")

    def __init__(self, feed: Feed, output: StepOutput, first: int, best: int = 0):
        self.feed, self._output, self._first, self._best = feed, output, first, best

    def check(self) -> None:
        """Refuse logits that are NaN or infinite, whatever is asked of them: RequestError."""
        if any(map(math.isnan, self._output.logprobs[self._first : self._first + self.feed.heads])):
            raise RequestError(
                "scores: not a number, for logits are NaN or infinite; weights of the model or the adapter are damaged"
            )

    def token(self, head: int = 0) -> int:
        """The best token that may come."""
        return self._output.tokens[self._first + head]

    def logprob(self, head: int = 0) -> float:
        """Its natural log-probability; -inf where none may."""
        return self._output.logprobs[self._first + head]

    def best(self, head: int = 0) -> tuple[int, float]:
        """Both; ConstraintError where no token may come."""
        logprob = self._output.logprobs[self._first + head]
        if logprob > -math.inf:
            return self._output.tokens[self._first + head], logprob
        raise ConstraintError("constraint: no token with a score is allowed here")

    def scores(self, head: int = 0) -> np.ndarray:
        """Scores float32 [vocab], -inf for what may not come; read only."""
        return self._output.row(self._first + head)

    def candidates(self, head: int = 0) -> Candidates:
        """The best tokens that may come, as many as were asked for, if there are so many."""
        tokens, logprobs = self._said(slice(self._first + head, self._first + head + 1))
        pairs = zip(tokens[0].tolist(), logprobs[0].tolist(), strict=True)
        return [(token, logprob) for token, logprob in pairs if token >= 0]

    def verified(self, best: int | None = None) -> Verified | None:
        """The best tokens of every head, for the drafter to learn: as many as asked for, or fewer; None for none."""
        best = self._best if best is None else best
        if not best:
            return None
        tokens, logprobs = self._said(slice(self._first, self._first + self.feed.heads))
        said = [np.ascontiguousarray(item[:, :best]) for item in (tokens, logprobs)]
        return Verified(self.feed.draft.tokens, self.feed.draft.parents, *said)

    def _said(self, heads: slice) -> tuple[np.ndarray, np.ndarray]:
        """As many of the best tokens of some heads as were asked for; the step may have more, for another request."""
        tokens, logprobs = self._output.best, self._output.best_logprobs
        assert tokens is not None and logprobs is not None
        return tokens[heads, : self._best], logprobs[heads, : self._best]

    def child(self, head: int, token: int) -> int:
        """Node of the draft that has this token after a head, -1 for none."""
        place = self._first + head
        if token == self._output.tokens[place]:
            return max(self._output.accepted[place] - self._first - 1, -1)
        return self.feed.draft.child(head - 1, token)  # not the graph's own choice

    def greedy(self, eos: Sequence[int]) -> Iterator[tuple[SelectedToken, int]]:
        """`accept` of the best tokens, up to and with an end of text."""
        for selected, node in self.accept(self.best):
            yield selected, node
            if selected.token in eos:
                return

    def accept(self, decide: Callable[[int], tuple[int, float]]) -> Iterator[tuple[SelectedToken, int]]:
        """Decide tokens along the draft until one is not in it; with each the node it accepts, -1 for none.

        `decide` gives token and log-probability of a head, once for each visited one: so drafts change nothing, for
        sampling too (unlike the rule of ADED's code, arXiv 2407.12021).
        """
        node = -1
        while True:
            token, logprob = decide(node + 1)
            node = self.child(node + 1, token)
            yield SelectedToken(token, logprob, node >= 0), node
            if node < 0:
                return


Steps = Generator[ForwardRequest | SelectedToken, list[ForwardResult], None]
"""Passes that are asked for, each answered by the results of its feeds, and tokens as they are decided."""
