"""One generation under way: its prompt, what it has produced, and when it ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.decoding import choice
from mindcold.decoding.method import Method
from mindcold.decoding.options import Options
from mindcold.drafting import Budget, Draft, Drafter
from mindcold.engine import Scored, Slot


@dataclass(slots=True)
class Request:
    """A prompt being decoded; the decoding loop feeds it, the caller may end it with `finish`."""

    index: int
    """Number of the prompt in the call."""
    prompt: list[int]
    method: Method
    options: Options
    adapter: int
    """Adapter id of the expert stream, -1 for the base."""
    eos: tuple[int, ...]
    budget: int
    """Tokens it may still produce at most: max_new_tokens, or what the model's context leaves."""
    drafter: Drafter | None = None
    draft_budget: Budget = field(default_factory=Budget)
    """Chooses the size of drafts; shared by requests that are alike."""
    constraint: ConstraintSet | None = None
    """Where it stands under its constraints."""
    masked: bool = False
    """Whether they forbid tokens."""
    cumulative: bool = False
    """Whether its reward grows as the text grows."""
    guess: Callable[[list[int], int], list[int]] | None = None
    """What roll-outs are likely to say, given a text and the room there is."""
    make_roller: Callable[[int], Any] | None = None
    """Makes what looks ahead, for sequences of so many tokens."""
    slots: list[Slot] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Tokens that are known but not yet in the KV cache."""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    target_passes: int = 0
    drafted: int = 0
    accept_lengths: list[int] = field(default_factory=list)
    """How many passes accepted no draft token, one, two, ..."""
    drafting_seconds: float = 0.0
    """Time spent on drafts between the steps."""
    draft_passes: int = 0
    """Steps of the model that looks ahead."""
    reward: float | None = None
    """Value of its constraints at the end."""
    unmet: list[str] = field(default_factory=list)
    """What of them is not met, in words."""
    error: str | None = None
    """Why it ended with finish_reason "error"."""
    started: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0

    @property
    def accepted(self) -> int:
        """Draft tokens that came true."""
        return sum(length * passes for length, passes in enumerate(self.accept_lengths))

    @property
    def size(self) -> int:
        """KV cells each of its streams needs."""
        return len(self.prompt) + self.budget

    @property
    def stream_adapters(self) -> list[int]:
        """Adapter id of each stream: the expert, and the base beside it for a contrast."""
        return [self.adapter, -1][: self.method.streams]

    @property
    def context(self) -> list[int]:
        """Everything decided so far: prompt and new tokens."""
        return self.prompt + self.token_ids

    def propose(self, known: int, streams: int, most: int) -> Draft:
        """A draft for the next step, in which `known` rows are anyway, a node takes `streams` and `most` nodes fit."""
        most = min(most, self.budget - len(self.token_ids) - 1)
        wanted = self.options.draft_tokens
        if self.drafter is None or most < 1 or not (wanted or self.draft_budget.ready()):
            return Draft()
        began = time.perf_counter()
        if wanted:
            draft = self.drafter.propose(self.context, min(most, wanted))
        else:
            draft = self.drafter.propose(self.context, most, self.draft_budget.least(known, streams))
            draft = draft.first(self.draft_budget.choose(draft.odds, known, streams, most))
        self.drafting_seconds += time.perf_counter() - began
        return draft

    def observe(self, new: int, draft: Draft, accepted: int) -> None:
        """The last `new` tokens are decided, of which `accepted` were in the draft: let the drafter learn."""
        began = time.perf_counter()
        self.drafted += len(draft.tokens)
        self.count_accepted(accepted)
        if draft.tokens:
            self.draft_budget.observed(draft.odds, accepted)
        if self.drafter:
            self.drafter.observe(self.context, new)
            self.drafting_seconds += time.perf_counter() - began

    def finish(self, reason: str) -> None:
        """End the request; "stop" for end-of-text and stop strings, "length" for the budget."""
        self.finish_reason = reason

    def accept(self, token: int) -> None:
        """Append a chosen token and end the request if it is the last."""
        now = time.perf_counter()
        if not self.token_ids:
            self.first_token = now
        self.ended = now
        self.token_ids.append(token)
        self.pending = [token]
        if self.constraint:
            self.constraint.advance(token)
        if token in self.eos:
            self.finish("stop")
        elif len(self.token_ids) >= self.budget:
            self.finish("length")

    def measure(self) -> None:
        """Take the value of the constraints now."""
        assert self.constraint is not None
        try:
            self.reward, self.unmet = self.constraint.value(), self.constraint.unmet()
        except ConstraintError as error:
            self.fail(str(error))

    def fail(self, reason: str) -> None:
        """End the request with an error of its own; others go on."""
        self.error = reason
        self.finish("error")

    def waits(self, produced: int) -> bool:
        """Whether end-of-text may not come yet after so many tokens."""
        return produced < self.options.min_new_tokens and bool(self.eos)

    def count_accepted(self, length: int) -> None:
        """Count a pass by the draft tokens it accepted."""
        self.accept_lengths += [0] * (length + 1 - len(self.accept_lengths))
        self.accept_lengths[length] += 1

    @property
    def needs_scores(self) -> bool:
        """Whether the next token is chosen here, from the scores, rather than in the graph."""
        waits = self.waits(len(self.token_ids))
        return self.method.sampled or waits or self.masked or self.options.repetition_penalty != 1.0

    def choose(self, scored: Scored, head: int, expert: int | None = None) -> tuple[int, float]:
        """Token and log-probability of one head: the graph's own choice, or one made from its scores.

        `expert` is the head that scores the expert alone, where a mask moves the cut of a contrast.
        """
        options, produced = self.options, len(self.token_ids)
        if not self.needs_scores:
            return int(scored.tokens[head]), float(scored.logprobs[head])
        scores = scored.row(head)
        mask = self.constraint.allowed() if self.constraint and self.masked else None
        if expert is not None and self.method.contrast:
            alone = scored.row(expert)
            scores = choice.plausible(scores, alone, mask, self.method.contrast.alpha)
        else:
            scores = choice.under_mask(scores, mask)
        scores = choice.penalise(scores, self.prompt + self.token_ids, options.repetition_penalty)
        if self.waits(produced):
            scores = choice.forbid(scores, self.eos)
        if mask is not None and not np.isfinite(scores).any():
            raise ConstraintError("constraint: no token with a score is allowed here")
        if self.method.sampled:
            token = choice.draw(choice.probabilities(scores, options), options.seed, self.index, produced)
        else:
            token = int(scores.argmax())
        return token, choice.log_probability(scores, token)


class Decided(NamedTuple):
    """One token of one request."""

    request: Request
    token: int
    logprob: float
    from_draft: bool
