"""Decoding with speculative lookahead (CDSL, arXiv 2412.10418): a draft looks ahead, the target verifies it in one pass
and the reward decides. Its output is not that of CDLH token for token.
"""

from collections.abc import Generator

from mindcold.decoding.drafts.rollout import Rolling, Rollouts, TrigramRollouts
from mindcold.decoding.forward import ForwardRequest, ForwardResult, Steps
from mindcold.decoding.methods.rollout_search import MARGIN, Candidate, RolloutSearch
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.drafting import Draft
from mindcold.engine import Sequence

Following = Generator[ForwardRequest | SelectedToken, list[ForwardResult], tuple[int, SelectedToken | None]]


class SpeculativeRolloutSearch(RolloutSearch):
    """CDSL: the draft's lookahead as far as target and reward accept it, else one token with lookahead.

    With j of d draft tokens equal to the target's own choices: j / d below tau_a discards the draft, and the target
    looks ahead itself; a reward below tau_r discards it too, and the draft looks ahead for every candidate. What is
    accepted are the j tokens and the target's own next one.

    Not in the paper, which leaves the thresholds and these fallbacks open: where a lookahead chooses what the target
    says anyway, the next token is decided from the same pass, as long as what is left of the draft agrees; what the
    target said while it looked ahead itself counts as a verified draft; the winner's lookahead is the next draft.
    """

    keywords = RolloutSearch.keywords | {"acceptance"}

    guessing = False

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        super().__init__(state, sequences)
        assert state.drafter is not None
        self.source: Rollouts = self.rollouts or TrigramRollouts(state.drafter, state.eos)
        self.known: list[int] = []
        """What has been looked up already after the last token: the next draft begins with it."""

    def steps(self) -> Steps:
        """As many tokens at once as draft, target and reward agree on."""
        state = self.state
        while True:
            draft = yield from self._draft()
            result = yield from self._forward(Draft.chain(draft))
            said = [item for item, _ in result.greedy(state.eos)]
            matched = sum(item.from_draft for item in said)
            state.drafted += len(draft)
            if self._agrees(matched, len(draft)):
                count, other = yield from self._along(said, result, matched, len(draft))
                state.count_accepted(min(count, matched))
                self.main.accept(range(count if other else count - 1))
                self.main.pending = [(other or said[count - 1]).token]
            else:
                state.count_accepted(0)
                yield from self._target_lookahead(self._candidates(result, 0))

    def _target_lookahead(self, candidates: list[Candidate]) -> Steps:
        """One token by the target's own lookahead, and all of it or one token more along it."""
        yield from self._rollouts(candidates)
        best = self._best(candidates)
        winner, count, other = candidates[best], 0, None
        future = [item._replace(from_draft=False) for item in winner.future]
        self.known = []
        yield from self._decide([SelectedToken(winner.token, winner.logprob)])
        if winner.result and self._agrees(1, 1):
            count, other = yield from self._along(future, winner.result, len(future), len(future), limit=1)
        elif future:
            self.known = [item.token for item in future]
        self._follow(best, count + 1 if other else count)
        self.main.pending = [(other.token if other else future[count - 1].token if count else winner.token)]

    def _draft(self) -> Generator[ForwardRequest, list[ForwardResult], list[int]]:
        """What is known to come, and what looks ahead goes on from there."""
        length, known = self._lookahead, self.known[: self._lookahead]
        self.known = []
        if len(known) < length:
            (more,) = yield from self.source.roll(self.state.context, [known], length)
            known += more
        return known

    def _agrees(self, matched: int, drafted: int) -> bool:
        return (matched / drafted if drafted else 1.0) >= self.params.tau_a

    def _along(
        self, said: list[SelectedToken], result: ForwardResult, matched: int, drafted: int, limit: int | None = None
    ) -> Following:
        """Decide tokens along what the target says, of which the first `matched` of `drafted` were foreseen.

        `result` has the scores of each, or of the first `limit`: at most so many are decided one by one. Gives how many
        were taken, and the token preferred to the next one, if any.
        """
        for i, item in enumerate(said[:limit]):
            rest = said[i:]
            if i and not self._agrees(matched - i, drafted - i):
                self.known = [left.token for left in rest]
                return i, None
            if self._worth(rest) >= self._threshold() - MARGIN:
                self.known = []
                yield from self._decide(rest)
                return len(said), None
            candidates = self._candidates(result, i)
            futures = yield from self._draft_lookahead(candidates)
            best = self._best(candidates)
            winner = candidates[best]
            same = winner.token == item.token
            chosen = item if same else SelectedToken(winner.token, winner.logprob)
            self.known = futures[best]
            yield from self._decide([chosen])
            if not same:
                return i, chosen
        return len(said[:limit]), None

    def _draft_lookahead(self, candidates: list[Candidate]) -> Rolling:
        """What the draft says after each candidate.

        Also after the one whose continuation the target has said: drafts flatter, so like is compared with like.
        """
        if len(candidates) == 1:
            return [[]]
        starts = [[item.token] for item in candidates]
        futures = yield from self.source.roll(self.state.context, starts, 1 + self._lookahead)
        for candidate, future in zip(candidates, futures, strict=True):
            candidate.state.extend(future)
        return futures

    def _worth(self, tokens: list[SelectedToken]) -> float:
        """The reward of the text with these tokens."""
        fork = self.constraints.fork()
        fork.extend([item.token for item in tokens])
        return fork.value()

    def _threshold(self) -> float:
        """Reward that a lookahead has to reach: tau_r, for a growing reward of what is still missing."""
        tau = self.params.tau_r
        if not self.state.cumulative:
            return tau
        reached = self.constraints.value()
        return reached + tau * (1.0 - reached)
