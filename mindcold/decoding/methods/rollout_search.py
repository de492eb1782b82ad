"""Decoding with full lookahead (CDLH): a candidate is worth its log-probability and the reward of its continuation.

Every candidate of every token is rolled out by the target (the family of DeAL, arXiv 2402.06147; the baseline of CDSL).
"""

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from mindcold.constraints import ConstraintSet
from mindcold.decoding.drafts.rollout import MAX_GUESS, guess
from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, SequenceSpec, Steps
from mindcold.decoding.masks import allowed_part, root_masks
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.drafting import Draft
from mindcold.engine import Sequence
from mindcold.sampling_params import DRAFT_ADAPTER

MARGIN = 1e-9
"""By how much a candidate has to be beaten before it is left out: sums are rounded."""


@dataclass(slots=True)
class Candidate:
    """A token that may come, and the target's own greedy continuation of it as far as it is rolled out."""

    token: int
    logprob: float
    state: ConstraintSet
    """The constraints after the token and the continuation."""
    future: list[SelectedToken] = field(default_factory=list)
    result: ForwardResult | None = None
    """The pass after the token, which has the scores of the continuation's beginning."""

    @property
    def tokens(self) -> list[int]:
        """The token and its continuation."""
        return [self.token, *(item.token for item in self.future)]


class RolloutSearch:
    """CDLH: one token after the other, every candidate rolled out by the target; the winner's first step is kept.

    Roll-outs end, and candidates are left out, where no continuation can change the choice any more: by rewards of at
    most 1, and by what a growing reward cannot lose. `exhaustive` rolls everything out; the tokens are the same.
    """

    keywords = frozenset({"lookahead", DRAFT_ADAPTER})
    samples, branching = False, True
    constrained = tables = True
    guessing = True
    """Whether a model that drafts guesses at roll-outs of the target, which change the time alone."""

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The text and a branch for each candidate, and those of a model that looks ahead or guesses."""
        engine, adapters, length = state.engine, state.stream_adapters, state.params.lookahead
        size, count = state.size + length + 2, state.params.candidates
        own = [SequenceSpec(engine, adapters, size, prompt=True), *[SequenceSpec(engine, adapters, length + 2)] * count]
        return [*own, *(state.rollouts.sequences(size, count, length) if state.rollouts else [])]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        assert state.constraints is not None
        self.state, self.params, self.constraints = state, state.params, state.constraints
        self.main, self.branches = sequences[0], sequences[1 : 1 + state.params.candidates]
        self.main.pending = state.prompt[self.main.length :]
        others = sequences[1 + state.params.candidates :]
        self.rollouts = state.rollouts.open(state.prompt, state.eos, others) if state.rollouts else None
        if state.drafter:
            state.drafter.observe(state.prompt, len(state.prompt))

    def steps(self) -> Steps:
        """Tokens one after the other."""
        result: ForwardResult | None = None
        while True:
            if result is None:
                result = yield from self._forward(Draft())
            candidates = self._candidates(result, 0)
            yield from self._rollouts(candidates)
            best = self._best(candidates)
            winner = candidates[best]
            result = winner.result
            if result is None:
                self.main.pending = [winner.token]
            else:
                self._follow(best, 1)
            yield from self._decide([SelectedToken(winner.token, winner.logprob)])

    def _decide(self, chosen: list[SelectedToken]) -> Generator[SelectedToken, None, None]:
        before = len(self.state.token_ids)
        try:
            yield from chosen
        finally:  # the request may end in the middle
            self.state.teach(len(self.state.token_ids) - before)

    def _forward(self, draft: Draft) -> Generator[ForwardRequest, list[ForwardResult], ForwardResult]:
        """The pending tokens and a draft through the target; candidates come out for each place."""
        state, masks = self.state, root_masks(self.state)
        if masks:
            draft, below = allowed_part(state, draft)
            masks += below
        (result,) = yield ForwardRequest([Feed(self.main, draft, masks)], state.contrast, best=self.params.candidates)
        return result

    def _candidates(self, result: ForwardResult, head: int) -> list[Candidate]:
        """The k best tokens that may come, lowest ids on ties.

        Unless the search is exhaustive, those are left out that a reward of 1 would not bring past the best token with
        what the reward cannot lose: they are never chosen.
        """
        result.best(head)  # refused where nothing may come
        best = result.candidates(head)[: self.params.candidates]
        if not self.params.exhaustive:
            weight, floor = self.params.reward_weight, self._floor(self.constraints)
            best = best[: sum(logprob + weight >= best[0][1] + weight * floor - 1e-6 for _, logprob in best)]
        found = [Candidate(token, logprob, self.constraints.fork()) for token, logprob in best]
        for candidate in found:
            candidate.state.advance(candidate.token)
        return found

    def _floor(self, constraints: ConstraintSet) -> float:
        """What the reward of a text cannot lose."""
        return constraints.floor() if self.state.cumulative else 0.0

    def _best(self, candidates: list[Candidate]) -> int:
        """Number of the candidate with the best log-probability + weight * reward, the first of several."""
        if len(candidates) == 1:
            return 0
        rewards, weight = ConstraintSet.values([item.state for item in candidates]), self.params.reward_weight
        return int(
            np.argmax([item.logprob + weight * reward for item, reward in zip(candidates, rewards, strict=True)])
        )

    @property
    def _lookahead(self) -> int:
        """Tokens a roll-out may have after a candidate: no more than may still come."""
        return min(self.params.lookahead, self.state.room - 1)

    def _rollouts(self, candidates: list[Candidate]) -> Generator[ForwardRequest, list[ForwardResult], None]:
        """The target's greedy continuation of each candidate, all in the same steps, as far as the choice needs it."""
        state, length, context = self.state, self._lookahead, self.state.context
        for branch, candidate in zip(self.branches, candidates, strict=False):
            branch.share(self.main)
            branch.pending = [candidate.token]
        first = True
        while length and (live := self._open(candidates, length)):
            guesses = yield from self._guesses([candidates[i] for i in live], context, length)
            feeds = [self._feed(i, candidates[i], context, draft) for i, draft in zip(live, guesses, strict=True)]
            results = yield ForwardRequest(feeds, state.contrast, best=self.params.candidates if first else 0)
            for i, result in zip(live, results, strict=True):
                if first:
                    candidates[i].result = result
                self._take(self.branches[i], result, candidates[i])
            first = False

    def _open(self, candidates: list[Candidate], length: int) -> list[int]:
        """Numbers of the candidates to roll out further; none once the choice is certain."""
        eos, kept = self.state.eos, list(range(len(candidates)))
        if not self.params.exhaustive:
            weight = self.params.reward_weight
            sure = max(item.logprob + weight * self._floor(item.state) for item in candidates)
            kept = [i for i in kept if candidates[i].logprob + weight >= sure - MARGIN]
            if len(kept) == 1:
                return []
        kept = [i for i in kept if len(candidates[i].future) < length and candidates[i].tokens[-1] not in eos]
        return [i for i in kept if not self.state.is_complete(candidates[i].state)]

    def _follow(self, branch: int, count: int) -> None:
        """Take over the keys and values of the first tokens of a branch."""
        self.branches[branch].trim(self.main.length + count)
        self.main.copy(self.branches[branch], self.main.length)

    def _guesses(
        self, candidates: list[Candidate], context: list[int], length: int
    ) -> Generator[ForwardRequest, list[ForwardResult], list[Draft]]:
        """What the target may say after each, as chains: by a model if one drafts, else by the tables."""
        rooms = [length - len(item.future) - 1 for item in candidates]
        texts = [[*context, *item.tokens] for item in candidates]
        if self.guessing and self.rollouts:
            starts = [item.tokens for item in candidates]
            longest = min(max(len(start) for start in starts) + MAX_GUESS, length)
            said = yield from self.rollouts.roll(context, starts, longest)
            return [Draft.chain(tokens[: max(0, room)]) for tokens, room in zip(said, rooms, strict=True)]
        if not self.state.drafter:
            return [Draft() for _ in candidates]
        return [guess(self.state.drafter, ids, room) for ids, room in zip(texts, rooms, strict=True)]

    def _feed(self, branch: int, candidate: Candidate, context: list[int], draft: Draft) -> Feed:
        """One branch with its pending token, and a guess where nothing is forbidden."""
        state, ids = self.state, [*context, *candidate.tokens]
        produced = len(ids) - len(state.prompt)
        if state.filter.active(produced):
            return Feed(self.branches[branch], masks=[state.filter.mask(ids, produced, candidate.state)])
        return Feed(self.branches[branch], draft)

    def _take(self, branch: Sequence, result: ForwardResult, candidate: Candidate) -> None:
        """Add what the target says to a roll-out; the drafter learns what is decided alone."""
        path = list[int]()
        for selected, node in result.greedy(self.state.eos):
            candidate.future.append(selected)
            candidate.state.advance(selected.token)
            if node >= 0:
                path.append(node)
            if self.state.is_complete(candidate.state):
                break
        branch.accept(path)
        branch.pending = [candidate.future[-1].token]
