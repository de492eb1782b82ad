"""Beam search: the sequences with the best sums of log-probabilities, as `transformers` has it.

Every step extends each of `num_beams` sequences; a sequence that ends is worth its sum / length ** length_penalty, and
the search is over when no living one can be worth more than the worst of `num_beams` ended ones. With
`score="contrastive"` it searches by CoLD's scores, as contrastive decoding did (Li et al. 2022, arXiv 2210.15097).
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.decoding import choice
from mindcold.decoding.ask import Answer, Ask, Track
from mindcold.decoding.method import Contrast, Method
from mindcold.decoding.options import Options
from mindcold.decoding.request import Request
from mindcold.decoding.search import Picked, Steps
from mindcold.engine import Engine
from mindcold.engine.engine import ROW_BUCKETS


def build(options: Options) -> Method:
    """Beam search by the adapter's own scores or CoLD's."""
    contrast = Contrast(options.alpha, options.beta) if options.score == "contrastive" else None
    return Method("beam", contrast, search=BeamSearch)


@dataclass(slots=True)
class Beam:
    """One sequence: what it has added to the prompt, its log-probabilities, and where it stands."""

    tokens: list[int]
    logprobs: list[float]
    track: Track
    state: ConstraintSet | None

    @property
    def total(self) -> float:
        """Sum of its log-probabilities."""
        return sum(self.logprobs)


class BeamSearch:
    """One generation; nothing is decided before its end."""

    def __init__(self, engine: Engine, request: Request):
        self.engine, self.request, self.count = engine, request, request.options.num_beams
        adapters = request.stream_adapters
        engine.reserve(engine.used_cells + request.size * self.count * len(adapters))
        self.tracks = [Track(engine, adapters, request.size) for _ in range(self.count)]
        self.ended: list[tuple[float, list[int], list[float]]] = []

    def close(self) -> None:
        """Give everything back."""
        for track in self.tracks:
            track.close()

    def steps(self) -> Steps:
        """Search to the end, then give the best sequence."""
        request, prompt = self.request, self.request.prompt
        beams = [Beam([], [], self.tracks[0], request.constraint)]
        most = ROW_BUCKETS[-1] // request.method.streams
        for begin in range(0, len(prompt) - 1, most):
            part = prompt[begin : min(begin + most, len(prompt) - 1)]
            yield self._ask([(beams[0].track, part, 0)], scores=False)
            beams[0].track.commit(len(part))
        while beams and len(beams[0].tokens) < request.budget and not self._over(beams):
            beams = yield from self._extend(beams)
        for beam in beams:
            if len(beam.tokens) == request.budget:
                self._end(beam.tokens, beam.logprobs)
        _, tokens, logprobs = self.ended[0]
        for token, logprob in zip(tokens, logprobs, strict=True):
            yield Picked(token, logprob)

    def _extend(self, beams: list[Beam]) -> Generator[Ask, Answer, list[Beam]]:
        """One step of all beams: the best continuations, of which those that end leave."""
        request, produced = self.request, len(beams[0].tokens)
        last = request.prompt[-1]
        work = [(beam.track, [beam.tokens[-1] if beam.tokens else last], 1) for beam in beams]
        found = yield self._ask(work)
        totals = []
        for i, beam in enumerate(beams):
            beam.track.commit(1)
            mask = beam.state.allowed() if beam.state and request.masked else None
            scores = found.scores(i, mask)
            if request.waits(produced):
                scores = choice.forbid(scores, request.eos)
            totals.append(choice.log_softmax(scores) if np.isfinite(scores).any() else np.full(scores.shape, -np.inf))
        sums = np.stack([beam.total + logprobs for beam, logprobs in zip(beams, totals, strict=True)])
        best = choice.top(sums.reshape(-1), self.count * (1 + max(1, len(request.eos))))
        if not len(best):
            raise ConstraintError("constraint: no token with a score is allowed here")
        living: list[tuple[int, int, float]] = []
        for rank, number in enumerate(best.tolist()):
            beam, token = divmod(number, sums.shape[1])
            logprob = float(totals[beam][token])
            if token not in request.eos:
                living.append((beam, token, logprob))
            elif rank < self.count:
                self._end([*beams[beam].tokens, token], [*beams[beam].logprobs, logprob])
            if len(living) == self.count:
                break
        return self._move(beams, living)

    def _move(self, beams: list[Beam], living: list[tuple[int, int, float]]) -> list[Beam]:
        """The beams of the next step; a second child of a beam goes where one without children was."""
        kept = {beam: beams[beam].track for beam, _, _ in living}
        free = [track for track in self.tracks if track not in kept.values()]
        out = []
        for beam, token, logprob in living:
            old = beams[beam]
            track = kept.pop(beam, None)
            if track is None:
                track = free.pop()
                track.cut(self._shared(track, old, beams))
                track.follow(old.track)
            state = None if old.state is None else old.state.fork()
            if state:
                state.advance(token)
            out.append(Beam([*old.tokens, token], [*old.logprobs, logprob], track, state))
        return out

    def _shared(self, track: Track, leader: Beam, beams: list[Beam]) -> int:
        """How many cells of a track hold what those of a beam do."""
        held = next((beam for beam in beams if beam.track is track), None)
        if held is None:
            return 0
        same = 0
        while same < min(len(held.tokens), len(leader.tokens)) and held.tokens[same] == leader.tokens[same]:
            same += 1
        return min(track.length, len(self.request.prompt) + same)

    def _worth(self, total: float, length: int) -> float:
        return total / length**self.request.options.length_penalty

    def _end(self, tokens: list[int], logprobs: list[float]) -> None:
        """Keep an ended sequence if it is among the best."""
        self.ended.append((self._worth(sum(logprobs), len(tokens)), tokens, logprobs))
        self.ended.sort(key=lambda item: -item[0])
        del self.ended[self.count :]

    def _over(self, beams: list[Beam]) -> bool:
        """Whether no living beam, as long as it is now, would be better than the worst ended one."""
        if len(self.ended) < self.count:
            return False
        best = max(beam.total for beam in beams)
        return self._worth(best, max(1, len(beams[0].tokens))) < self.ended[-1][0]

    def _ask(self, work: list[tuple[Track, list[int], int]], scores: bool = True) -> Ask:
        return Ask(self.engine, work, self.request.method.contrast, scores, masked=self.request.masked)
