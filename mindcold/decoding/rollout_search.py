"""Decoding with lookahead: a candidate is worth what its continuation brings, in log-probability and reward.

CDLH rolls out every candidate of every token with the target (the family of DeAL, arXiv 2402.06147). CDSL (arXiv
2412.10418) lets a draft model look ahead, the target verify it in one pass and the reward decide; its output is not
that of CDLH token for token.
"""

from collections.abc import Generator

import numpy as np

from mindcold.constraints import ConstraintSet
from mindcold.decoding import sampling
from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, SequenceSpec, Steps
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.decoding.rollout import guess
from mindcold.decoding.token_tree import allowed_part, root_masks
from mindcold.drafting import Draft
from mindcold.engine import Sequence


class RolloutSearch:
    """CDLH: one token after the other, every candidate rolled out by the target; the winner's first step is kept."""

    keywords = frozenset({"lookahead"})
    samples = False
    constrained = True

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The text, and a branch for each candidate."""
        engine, adapters, length = state.engine, state.stream_adapters, state.params.lookahead
        main = SequenceSpec(engine, adapters, state.size + length + 2)
        return [main, *[SequenceSpec(engine, adapters, length + 2)] * state.params.candidates]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        assert state.constraints is not None
        self.state, self.params, self.constraints = state, state.params, state.constraints
        self.main, self.branches = sequences[0], sequences[1 : 1 + state.params.candidates]
        self.main.pending = list(state.prompt)
        if state.drafter:
            state.drafter.observe(state.prompt, len(state.prompt))

    def steps(self) -> Steps:
        """Tokens one after the other."""
        result: ForwardResult | None = None
        while True:
            if result is None:
                result = yield from self._forward(Draft())
            candidates, logprobs = self._candidates(result)
            futures, firsts = yield from self._rollouts(candidates)
            best = self._best(candidates, logprobs, futures)
            result = firsts[best]
            if result is None:
                self.main.pending = [candidates[best]]
            else:
                self.main.copy(self.branches[best], self.main.length)
            yield from self._decide([SelectedToken(candidates[best], logprobs[best])])

    def _decide(self, chosen: list[SelectedToken]) -> Generator[SelectedToken, None, None]:
        before = len(self.state.token_ids)
        try:
            yield from chosen
        finally:  # the request may end in the middle
            self.state.teach(len(self.state.token_ids) - before)

    def _forward(self, draft: Draft) -> Generator[ForwardRequest, list[ForwardResult], ForwardResult]:
        """The pending tokens and a draft through the target; scores come out."""
        state, masks = self.state, root_masks(self.state)
        if masks:
            draft, below = allowed_part(state, draft)
            masks += below
        (result,) = yield ForwardRequest([Feed(self.main, draft, masks)], state.contrast, scores=True)
        return result

    def _candidates(self, result: ForwardResult) -> tuple[list[int], list[float]]:
        """The k best tokens that may come, lowest ids on ties, and their log-probabilities.

        Unless the search is exhaustive, those are left out that a reward of 1 would not bring past the best token with
        a reward of 0: they are never chosen.
        """
        result.best()  # refused where nothing may come
        scores = result.scores()
        best = sampling.top(scores, self.params.candidates)
        logprobs = sampling.log_softmax(scores)[best].tolist()
        count = sum(logprob + self.params.reward_weight >= logprobs[0] - 1e-6 for logprob in logprobs)
        count = len(logprobs) if self.params.exhaustive else count
        return best.tolist()[:count], logprobs[:count]

    def _best(self, candidates: list[int], logprobs: list[float], futures: list[list[int]]) -> int:
        """Number of the candidate with the best log-probability + weight * reward, the first of several."""
        states = []
        for token, future in zip(candidates, futures, strict=True):
            states.append(self.constraints.fork())
            states[-1].extend([token, *future])
        rewards, weight = ConstraintSet.values(states), self.params.reward_weight
        return int(np.argmax([logprob + weight * reward for logprob, reward in zip(logprobs, rewards, strict=True)]))

    @property
    def _lookahead(self) -> int:
        """Tokens a roll-out may have after a candidate: no more than may still come."""
        return min(self.params.lookahead, self.state.room - 1)

    def _rollouts(
        self, candidates: list[int]
    ) -> Generator[ForwardRequest, list[ForwardResult], tuple[list[list[int]], list[ForwardResult | None]]]:
        """The target's greedy continuation of each candidate, all in the same steps, and the result after each."""
        state, length, context = self.state, self._lookahead, self.state.context
        futures: list[list[int]] = [[] for _ in candidates]
        firsts: list[ForwardResult | None] = [None] * len(candidates)
        forks: list[ConstraintSet | None] = [None] * len(candidates)
        live = [i for i, token in enumerate(candidates) if token not in state.eos]
        for i in live:
            self.branches[i].share(self.main)
            self.branches[i].pending = [candidates[i]]
            if state.filter.constrained:
                forks[i] = fork = self.constraints.fork()
                fork.advance(candidates[i])
        base, first = self.main.length, True
        while length and (live := [i for i in live if self._goes_on(futures[i], length)]):
            feeds = [self._feed(i, [candidates[i], *futures[i]], context, forks[i], length) for i in live]
            results = yield ForwardRequest(feeds, state.contrast, scores=first)
            for i, result in zip(live, results, strict=True):
                if first:
                    firsts[i] = result
                self._take(i, result, futures[i], forks[i])
            first = False
        for branch in self.branches:
            branch.trim(base + 1)  # the candidate itself stays, in case it wins
        return futures, firsts

    def _goes_on(self, future: list[int], length: int) -> bool:
        return len(future) < length and not (future and future[-1] in self.state.eos)

    def _feed(self, branch: int, new: list[int], context: list[int], fork: ConstraintSet | None, length: int) -> Feed:
        """One branch with its pending token, and a guess where nothing is forbidden."""
        state, ids = self.state, context + new
        produced = len(ids) - len(state.prompt)
        if state.filter.active(produced):
            return Feed(self.branches[branch], masks=[state.filter.mask(ids, produced, fork)])
        draft = guess(state.drafter, ids, length - len(new)) if state.drafter else Draft()
        return Feed(self.branches[branch], draft)

    def _take(self, branch: int, result: ForwardResult, future: list[int], fork: ConstraintSet | None) -> None:
        """Add what the target says to a roll-out."""
        path, last = list[int](), -1
        for selected, node in result.accept(result.best):
            last = selected.token
            future.append(last)
            if fork:
                fork.advance(last)
            if node >= 0:
                path.append(node)
            if last in self.state.eos:
                break
        self.branches[branch].accept(path)
        self.branches[branch].pending = [last]


class SpeculativeRolloutSearch(RolloutSearch):
    """CDSL: the draft's lookahead as far as target and reward accept it, else one token with lookahead.

    With j of d draft tokens equal to the target's own choices: j / d below tau_a discards the draft, and the target
    looks ahead itself; a reward below tau_r discards it too, and the draft looks ahead for every candidate. What is
    accepted are the j tokens and the target's own next one. The winner's lookahead is the next draft (not in the paper,
    which leaves the thresholds and these fallbacks open).
    """

    keywords = frozenset({"lookahead", "acceptance"})

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """Those of CDLH, and those of what looks ahead."""
        assert state.rollouts is not None
        size, params = state.size + state.params.lookahead + 2, state.params
        return [*RolloutSearch.sequences(state), *state.rollouts.sequences(size, params.candidates, params.lookahead)]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        super().__init__(state, sequences)
        assert state.rollouts is not None
        self.rollouts = state.rollouts.open(state.eos, sequences[1 + state.params.candidates :])
        self.known: list[int] = []
        """What has been looked up already after the last token: the next draft."""

    def steps(self) -> Steps:
        """As many tokens at once as draft, target and reward agree on."""
        state, params = self.state, self.params
        while True:
            draft, self.known = self.known[: self._lookahead], []
            if not draft and self._lookahead > 0:
                (draft,) = yield from self.rollouts.roll(state.context, [[]], self._lookahead)
            result = yield from self._forward(Draft.chain(draft))
            chosen, reward = self._verify(result)
            matched = sum(item.from_draft for item in chosen)
            agreed = (matched / len(draft) if draft else 1.0) >= params.tau_a
            state.drafted += len(draft)
            if agreed and reward >= self._threshold() - 1e-9:
                state.count_accepted(matched)
                self.main.accept(range(min(matched, len(chosen) - 1)))
            else:
                state.count_accepted(0)
                candidates, logprobs = self._candidates(result)
                if agreed:
                    starts = [[token] for token in candidates]
                    futures = yield from self.rollouts.roll(state.context, starts, self._lookahead)
                else:
                    futures, _ = yield from self._rollouts(candidates)
                best = self._best(candidates, logprobs, futures)
                chosen, self.known = [SelectedToken(candidates[best], logprobs[best])], futures[best]
            self.main.pending = [chosen[-1].token]
            yield from self._decide(chosen)

    def _verify(self, result: ForwardResult) -> tuple[list[SelectedToken], float]:
        """What the target says along the draft and after it, and the reward of that."""
        fork, chosen = self.constraints.fork(), list[SelectedToken]()
        for selected, _ in result.accept(result.best):
            chosen.append(selected)
            fork.advance(selected.token)
            if selected.token in self.state.eos:
                break
        return chosen, fork.value()

    def _threshold(self) -> float:
        """Reward that a lookahead has to reach: tau_r, for a growing reward of what is still missing."""
        tau = self.params.tau_r
        if not self.state.cumulative:
            return tau
        reached = self.constraints.value()
        return reached + tau * (1.0 - reached)
