"""Decoding with lookahead: a candidate is worth what its continuation brings, in log-probability and reward.

CDLH rolls out every candidate of every token with the target (the family of DeAL, arXiv 2402.06147). CDSL (arXiv
2412.10418) lets a draft model look ahead, the target verify it in one pass and the reward decide.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mindcold.constraints import ConstraintError, Watched
from mindcold.decoding.choice import forbid, log_probability
from mindcold.decoding.method import Ahead
from mindcold.decoding.request import Request
from mindcold.drafting.roller import Roller
from mindcold.engine import Engine, Scored, Slot, StepPlan
from mindcold.engine.engine import ROW_BUCKETS, row_bucket


class Picked(NamedTuple):
    """A token that is decided."""

    token: int
    logprob: float
    from_draft: bool = False


class Track:
    """One sequence in all streams of the method."""

    def __init__(self, engine: Engine, adapters: Sequence[int], size: int):
        opened = [engine.open(size, adapter) for adapter in adapters]
        self.slots: list[Slot] = [slot for slot in opened if slot is not None]
        assert len(self.slots) == len(adapters)

    @property
    def length(self) -> int:
        """Committed tokens."""
        return self.slots[0].length

    def cut(self, length: int) -> None:
        """Forget what is behind so many tokens."""
        for slot in self.slots:
            slot.length = min(slot.length, length)


def decode_ahead(engine: Engine, request: Request) -> Iterator[Picked]:
    """Tokens of one request under a method with lookahead; the request ends when its finish_reason is set.

    A constraint that fails ends its request with finish_reason "error".
    """
    ahead = request.method.ahead
    assert ahead is not None and request.constraint is not None
    search = None
    try:
        search = Search(engine, request, ahead)
        while not request.finish_reason:
            for picked in search.speculate() if ahead.speculative else [search.look()]:
                request.accept(picked.token)
                yield picked
                if request.finish_reason:
                    break
    except ConstraintError as error:
        request.fail(str(error))
    finally:
        if search:
            search.close()


class Search:
    """The state of one generation: its sequence in the target, branches for roll-outs, and the draft's roller."""

    def __init__(self, engine: Engine, request: Request, ahead: Ahead):
        self.engine, self.request, self.ahead = engine, request, ahead
        adapters, count = request.stream_adapters, max(1, ahead.candidates)
        size = request.size + ahead.length + 2
        engine.reserve(engine.used_cells + size * (count + 1) * len(adapters))
        self.main = Track(engine, adapters, size)
        self.branches = [Track(engine, adapters, size) for _ in range(count)]
        self.roller: Roller | None = request.make_roller(size) if request.make_roller else None
        self.pending = list(request.prompt)
        self.known: list[int] = []
        """What has been looked up already behind the last token: the next draft."""
        self.scores: np.ndarray | None = None
        """Scores of the next token, where they are known already."""

    def close(self) -> None:
        """Give everything back."""
        for track in (self.main, *self.branches):
            for slot in track.slots:
                self.engine.close(slot)
        if self.roller:
            self.request.draft_passes += self.roller.passes
            self.roller.close()

    def look(self) -> Picked:
        """CDLH: one token, every candidate rolled out by the target; the winner's first step is kept."""
        if self.scores is None:
            self.scores = _row(self._feed(1), 0)
        candidates, logprobs = self._candidates(self.scores)
        futures, firsts = self._rollouts(candidates)
        best = self._best(candidates, logprobs, futures)
        if firsts[best] is not None:
            winner, base = self.branches[best], self.main.length
            for slot in winner.slots:
                self.engine.commit(slot, 1)
            for track in (self.main, *self.branches):
                if track is not winner:
                    track.cut(base)
                    self._follow(track, winner)
            self.scores, self.pending = firsts[best], []
        else:
            self.scores, self.pending = None, [candidates[best]]
        return Picked(candidates[best], logprobs[best])

    def speculate(self) -> list[Picked]:
        """CDSL: the draft's lookahead as far as target and reward accept it, else one token with lookahead.

        With j of d draft tokens equal to the target's own choices: j / d below tau_a discards the draft, and the target
        looks ahead itself; a reward below tau_r discards it too, and the draft looks ahead for every candidate. What is
        accepted are the j tokens and the target's own next one. The winner's lookahead is the next draft.
        """
        request, ahead = self.request, self.ahead
        assert self.roller is not None and request.constraint is not None
        room = min(ahead.length, request.budget - len(request.token_ids) - 1)
        draft, self.known = self.known[: max(room, 0)], []
        if not draft and room > 0:
            draft = self.roller.roll(request.context, [[]], room)[0]
        scored = self._feed(len(draft) + 1, draft)
        state, chosen = request.constraint.fork(), list[Picked]()
        for i in range(len(draft) + 1):
            token, logprob = self._choose(scored, i, state, len(request.token_ids) + i)
            right = i < len(draft) and token == draft[i]
            chosen.append(Picked(token, logprob, right))
            state.advance(token)
            if not right or token in request.eos:
                break
        matched = sum(item.from_draft for item in chosen)
        accepted = matched / len(draft) if draft else 1.0
        request.drafted += len(draft)
        if accepted >= ahead.tau_a and state.value() >= self._threshold() - 1e-9:
            for slot in self.main.slots:
                slot.length += min(matched, len(chosen) - 1)
            self.pending = [chosen[-1].token]
            request.count_accepted(matched)
            return chosen
        request.count_accepted(0)
        candidates, logprobs = self._candidates(_row(scored, 0))
        if accepted >= ahead.tau_a:
            starts = [[token] for token in candidates]
            futures = self.roller.roll(request.context, starts, ahead.length)
        else:
            futures, _ = self._rollouts(candidates)
        best = self._best(candidates, logprobs, futures)
        self.pending, self.known = [candidates[best]], futures[best]
        return [Picked(candidates[best], logprobs[best])]

    def _threshold(self) -> float:
        """Reward that a lookahead has to reach: tau_r, for a growing reward of what is still missing."""
        constraint, tau = self.request.constraint, self.ahead.tau_r
        assert constraint is not None
        if not self.request.cumulative:
            return tau
        reached = constraint.value()
        return reached + tau * (1.0 - reached)

    def _candidates(self, scores: np.ndarray) -> tuple[list[int], list[float]]:
        """The k best tokens that may come, lowest ids on ties, and their log-probabilities."""
        assert self.request.constraint is not None
        scores = self._masked(scores, self.request.constraint, len(self.request.token_ids))
        order = np.argsort(-scores, kind="stable")[: max(1, self.ahead.candidates)]
        order = order[np.isfinite(scores[order])]
        return order.tolist(), [log_probability(scores, int(token)) for token in order]

    def _best(self, candidates: list[int], logprobs: list[float], futures: list[list[int]]) -> int:
        """Number of the candidate with the best log-probability + weight * reward, the first of several."""
        assert self.request.constraint is not None
        totals = []
        for token, logprob, future in zip(candidates, logprobs, futures, strict=True):
            state = self.request.constraint.fork()
            for item in (token, *future):
                state.advance(item)
            totals.append(logprob + self.ahead.weight * state.value())
        return int(np.argmax(totals))

    def _rollouts(self, candidates: list[int]) -> tuple[list[list[int]], list[np.ndarray | None]]:
        """The target's greedy continuation of each candidate, all in the same steps, and the scores behind each."""
        request, base = self.request, self.main.length
        assert request.constraint is not None
        futures: list[list[int]] = [[] for _ in candidates]
        firsts: list[np.ndarray | None] = [None] * len(candidates)
        states: list[Watched] = []
        for token in candidates:
            states.append(request.constraint.fork())
            states[-1].advance(token)
        live = [i for i, token in enumerate(candidates) if token not in request.eos]
        for i in live:
            self.branches[i].cut(base)
            self._follow(self.branches[i], self.main)
        for step in range(self.ahead.length):
            if not live:
                break
            work = [(self.branches[i], [futures[i][-1] if futures[i] else candidates[i]], 1) for i in live]
            scored = self._run(work)
            for head, i in enumerate(live):
                if step == 0:
                    firsts[i] = _row(scored, head)
                token, _ = self._choose(scored, head, states[i], len(request.token_ids) + 1 + step)
                futures[i].append(token)
                states[i].advance(token)
                for slot in self.branches[i].slots:
                    self.engine.commit(slot, 1)
            live = [i for i in live if futures[i][-1] not in request.eos]
        for track in self.branches:
            track.cut(base)
        return futures, firsts

    def _choose(self, scored: Scored, head: int, state: Watched, produced: int) -> tuple[int, float]:
        """The best token that may come at a head."""
        if state.allowed() is None and not self.request.waits(produced):
            return int(scored.tokens[head]), float(scored.logprobs[head])
        scores = self._masked(_row(scored, head), state, produced)
        token = int(scores.argmax())
        return token, log_probability(scores, token)

    def _masked(self, scores: np.ndarray, state: Watched, produced: int) -> np.ndarray:
        """Scores without what may not come."""
        mask = state.allowed()
        if mask is not None:
            scores = np.where(mask, scores, np.float32(-np.inf))
        if self.request.waits(produced):
            scores = forbid(scores, self.request.eos)
        if not np.isfinite(scores).any():
            raise ConstraintError("constraint: no token with a score is allowed here")
        return scores

    def _feed(self, heads: int, draft: Sequence[int] = ()) -> Scored:
        """Pending tokens and a draft through the target; the pending ones become part of the sequence."""
        most = ROW_BUCKETS[-1] // len(self.main.slots)
        while len(self.pending) + len(draft) > most:
            part, self.pending = self.pending[:most], self.pending[most:]
            if not self.pending:  # the last of them has to be scored
                part, self.pending = part[:-1], part[-1:]
            self._run([(self.main, part, 1)])
            self._commit(len(part))
        scored = self._run([(self.main, [*self.pending, *draft], heads)])
        self._commit(len(self.pending))
        self.pending = []
        return scored

    def _commit(self, count: int) -> None:
        for slot in self.main.slots:
            self.engine.commit(slot, count)

    def _follow(self, track: Track, leader: Track) -> None:
        for source, target in zip(leader.slots, track.slots, strict=True):
            self.engine.copy(source, target)

    def _run(self, work: Sequence[tuple[Track, list[int], int]]) -> Scored:
        """One step: tokens for some sequences, the last rows of each scored."""
        plan, contrast = StepPlan(), self.request.method.contrast
        for track, tokens, heads in work:
            last = [plan.extend(slot, tokens) for slot in track.slots]
            for back in range(heads - 1, -1, -1):
                if contrast:
                    plan.score(last[0] - back, last[1] - back, contrast.alpha, contrast.beta)
                else:
                    plan.score(last[0] - back)
        rows, heads = row_bucket(len(plan.rows)), row_bucket(len(plan.heads))
        self.request.target_passes += 1
        return self.engine.run(plan, rows, heads, contrast is not None, scores=True)


def _row(scored: Scored, head: int) -> np.ndarray:
    """Scores of one head, float32 [vocab]."""
    assert scored.scores is not None
    return scored.scores[head].asnumpy()
