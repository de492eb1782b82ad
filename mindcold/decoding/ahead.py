"""Decoding with lookahead: a candidate is worth what its continuation brings, in log-probability and reward.

CDLH rolls out every candidate of every token with the target (the family of DeAL, arXiv 2402.06147). CDSL (arXiv
2412.10418) lets a draft model look ahead, the target verify it in one pass and the reward decide.
"""

from collections.abc import Callable, Generator, Sequence

import numpy as np

from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.decoding import choice
from mindcold.decoding.ask import Answer, Ask, Track
from mindcold.decoding.method import Ahead
from mindcold.decoding.request import Request
from mindcold.decoding.roller import Roller
from mindcold.decoding.search import Picked, Steps
from mindcold.engine import Engine
from mindcold.engine.engine import ROW_BUCKETS
from mindcold.errors import RequestError

Scores = Callable[[np.ndarray | None], np.ndarray]
"""Gives the scores of one place, float32 [vocab], under a mask bool [vocab] or None."""


class AheadSearch:
    """One generation: its sequence in the target, branches for roll-outs, and the draft's roller."""

    def __init__(self, engine: Engine, request: Request):
        assert request.method.ahead is not None and request.constraint is not None
        self.engine, self.request = engine, request
        self.ahead: Ahead = request.method.ahead
        self.constraint: ConstraintSet = request.constraint
        adapters, count = request.stream_adapters, max(1, self.ahead.candidates)
        size = request.size + self.ahead.length + 2
        engine.reserve(engine.used_cells + size * (count + 1) * len(adapters))
        self.main, *self.branches = (Track(engine, adapters, size) for _ in range(count + 1))
        self.roller: Roller | None = None
        if request.make_roller:
            try:
                self.roller = request.make_roller(size)
            except RequestError:
                self.close()
                raise
        self.pending = list(request.prompt)
        self.known: list[int] = []
        """What has been looked up already behind the last token: the next draft."""
        self.scores: Scores | None = None
        """Scores of the next token, where they are known already."""

    def close(self) -> None:
        """Give everything back."""
        for track in (self.main, *self.branches):
            track.close()
        if self.roller:
            self.request.draft_passes += self.roller.passes
            self.roller.close()

    def steps(self) -> Steps:
        """Tokens one after the other, or as many at once as draft, target and reward agree on."""
        while True:
            if self.ahead.speculative:
                yield from (yield from self._speculate())
            else:
                yield (yield from self._look())

    def _look(self) -> Generator[Ask, Answer, Picked]:
        """CDLH: one token, every candidate rolled out by the target; the winner's first step is kept."""
        if self.scores is None:
            self.scores = _of((yield from self._feed(1)), 0)
        candidates, logprobs = self._candidates(self.scores)
        futures, firsts = yield from self._rollouts(candidates)
        best = self._best(candidates, logprobs, futures)
        if firsts[best] is not None:
            winner, base = self.branches[best], self.main.length
            winner.commit(1)
            for track in (self.main, *self.branches):
                if track is not winner:
                    track.cut(base)
                    track.follow(winner)
            self.scores, self.pending = firsts[best], []
        else:
            self.scores, self.pending = None, [candidates[best]]
        return Picked(candidates[best], logprobs[best])

    def _speculate(self) -> Generator[Ask, Answer, list[Picked]]:
        """CDSL: the draft's lookahead as far as target and reward accept it, else one token with lookahead.

        With j of d draft tokens equal to the target's own choices: j / d below tau_a discards the draft, and the target
        looks ahead itself; a reward below tau_r discards it too, and the draft looks ahead for every candidate. What is
        accepted are the j tokens and the target's own next one. The winner's lookahead is the next draft.
        """
        request, ahead = self.request, self.ahead
        assert self.roller is not None
        room = min(ahead.length, request.budget - len(request.token_ids) - 1)
        draft, self.known = self.known[: max(room, 0)], []
        if not draft and room > 0:
            (draft,) = yield from self.roller.roll(request.context, [[]], room)
        found = yield from self._feed(len(draft) + 1, draft)
        state, chosen = self.constraint.fork(), list[Picked]()
        for i in range(len(draft) + 1):
            token, logprob = self._choose(found, i, state, len(request.token_ids) + i)
            right = i < len(draft) and token == draft[i]
            chosen.append(Picked(token, logprob, right))
            state.advance(token)
            if not right or token in request.eos:
                break
        matched = sum(item.from_draft for item in chosen)
        accepted = matched / len(draft) if draft else 1.0
        request.drafted += len(draft)
        if accepted >= ahead.tau_a and state.value() >= self._threshold() - 1e-9:
            self.main.commit(min(matched, len(chosen) - 1))
            self.pending = [chosen[-1].token]
            request.count_accepted(matched)
            return chosen
        request.count_accepted(0)
        candidates, logprobs = self._candidates(_of(found, 0))
        if accepted >= ahead.tau_a:
            starts = [[token] for token in candidates]
            futures = yield from self.roller.roll(request.context, starts, ahead.length)
        else:
            futures, _ = yield from self._rollouts(candidates)
        best = self._best(candidates, logprobs, futures)
        self.pending, self.known = [candidates[best]], futures[best]
        return [Picked(candidates[best], logprobs[best])]

    def _threshold(self) -> float:
        """Reward that a lookahead has to reach: tau_r, for a growing reward of what is still missing."""
        tau = self.ahead.tau_r
        if not self.request.cumulative:
            return tau
        reached = self.constraint.value()
        return reached + tau * (1.0 - reached)

    def _candidates(self, scores: Scores) -> tuple[list[int], list[float]]:
        """The k best tokens that may come, lowest ids on ties, and their log-probabilities.

        Unless the search is exhaustive, those are left out that a reward of 1 would not bring past the best token with
        a reward of 0: they are never chosen.
        """
        allowed = self._allowed(scores, self.constraint, len(self.request.token_ids))
        best = choice.top(allowed, max(1, self.ahead.candidates))
        logprobs = choice.log_probabilities(allowed, best)
        count = sum(logprob + self.ahead.weight >= logprobs[0] - 1e-6 for logprob in logprobs)
        count = len(logprobs) if self.ahead.exhaustive else count
        return best.tolist()[:count], logprobs[:count]

    def _best(self, candidates: list[int], logprobs: list[float], futures: list[list[int]]) -> int:
        """Number of the candidate with the best log-probability + weight * reward, the first of several."""
        states = []
        for token, future in zip(candidates, futures, strict=True):
            states.append(self.constraint.fork())
            states[-1].extend([token, *future])
        rewards = ConstraintSet.values(states)
        totals = [logprob + self.ahead.weight * reward for logprob, reward in zip(logprobs, rewards, strict=True)]
        return int(np.argmax(totals))

    def _rollouts(self, candidates: list[int]) -> Generator[Ask, Answer, tuple[list[list[int]], list[Scores | None]]]:
        """The target's greedy continuation of each candidate, all in the same steps, and the scores behind each."""
        request, base = self.request, self.main.length
        futures: list[list[int]] = [[] for _ in candidates]
        firsts: list[Scores | None] = [None] * len(candidates)
        states: list[ConstraintSet] = [self.constraint] * len(candidates)
        if request.masked:
            states = [self.constraint.fork() for _ in candidates]
            for state, token in zip(states, candidates, strict=True):
                state.advance(token)
        live = [i for i, token in enumerate(candidates) if token not in request.eos]
        for i in live:
            self.branches[i].cut(base)
            self.branches[i].follow(self.main)
        first = True
        while live and self.ahead.length:
            work, guesses = [], []
            produced = len(request.token_ids) + 1
            chosen_here = request.masked or request.waits(produced)
            for i in live:
                text, room = [candidates[i], *futures[i]], self.ahead.length - len(futures[i]) - 1
                guessing = request.guess if not chosen_here else None
                guesses.append(guessing(request.context + text, room) if guessing else [])
                work.append((self.branches[i], [text[-1], *guesses[-1]], len(guesses[-1]) + 1))
            found = yield self._ask(work, scores=first or chosen_here)
            head = 0
            for i, guess in zip(live, guesses, strict=True):
                if first:
                    firsts[i] = _of(found, head)
                for place in range(len(guess) + 1):
                    token, _ = self._choose(found, head + place, states[i], produced + len(futures[i]))
                    futures[i].append(token)
                    if request.masked:
                        states[i].advance(token)
                    self.branches[i].commit(1)
                    if token in request.eos or place == len(guess) or token != guess[place]:
                        break
                head += len(guess) + 1
            first = False
            live = [i for i in live if len(futures[i]) < self.ahead.length and futures[i][-1] not in request.eos]
        for track in self.branches:
            track.cut(base)
        return futures, firsts

    def _choose(self, found: Answer, head: int, state: ConstraintSet, produced: int) -> tuple[int, float]:
        """The best token that may come at a head."""
        if not self.request.masked and not self.request.waits(produced):
            return found.token(head), found.logprob(head)
        scores = self._allowed(_of(found, head), state, produced)
        token = int(scores.argmax())
        return token, choice.log_probability(scores, token)

    def _allowed(self, scores: Scores, state: ConstraintSet, produced: int) -> np.ndarray:
        """Scores without what may not come."""
        allowed = scores(state.allowed() if self.request.masked else None)
        if self.request.waits(produced):
            allowed = choice.forbid(allowed, self.request.eos)
        if not np.isfinite(allowed).any():
            raise ConstraintError("constraint: no token with a score is allowed here")
        return allowed

    def _feed(self, heads: int, draft: Sequence[int] = ()) -> Generator[Ask, Answer, Answer]:
        """Pending tokens and a draft through the target; the pending ones become part of the sequence."""
        most = ROW_BUCKETS[-1] // len(self.main.slots)
        while len(self.pending) + len(draft) > most:
            part, self.pending = self.pending[:most], self.pending[most:]
            if not self.pending:  # the last of them has to be scored
                part, self.pending = part[:-1], part[-1:]
            yield self._ask([(self.main, part, 0)], scores=False)
            self.main.commit(len(part))
        found = yield self._ask([(self.main, [*self.pending, *draft], heads)])
        self.main.commit(len(self.pending))
        self.pending = []
        return found

    def _ask(self, work: Sequence[tuple[Track, Sequence[int], int]], scores: bool = True) -> Ask:
        return Ask(self.engine, work, self.request.method.contrast, scores, masked=self.request.masked)


def _of(found: Answer, head: int) -> Scores:
    """The scores of one head, fetched when they are wanted."""
    return lambda mask: found.scores(head, mask)
