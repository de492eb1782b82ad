"""Beam search: the sequences with the best sums of log-probabilities, as `transformers` has it.

Every step extends each of `num_beams` sequences; a sequence that ends is worth its sum / length ** length_penalty, and
the search is over when no living one can be worth more than the worst of `num_beams` ended ones. With
`score="contrastive"` it searches by CoLD's scores, as contrastive decoding did (Li et al. 2022, arXiv 2210.15097).
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.decoding import sampling
from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, Mask, SequenceSpec
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.engine import Sequence


@dataclass(slots=True)
class Beam:
    """One sequence: what it has added to the prompt, its log-probabilities, and where it stands."""

    tokens: list[int]
    logprobs: list[float]
    sequence: Sequence
    state: ConstraintSet | None

    @property
    def total(self) -> float:
        """Sum of its log-probabilities."""
        return sum(self.logprobs)


class BeamSearch:
    """One generation; nothing is decided before its end."""

    keywords = frozenset({"beam"})
    samples, branching = False, True
    constrained = False

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The prompt, which all beams share, and a sequence for each beam."""
        prompt = SequenceSpec(state.engine, state.stream_adapters, len(state.prompt), prompt=True)
        beam = SequenceSpec(state.engine, state.stream_adapters, state.max_new_tokens)
        return [prompt, *[beam] * state.params.num_beams]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        self.state, self.count = state, state.params.num_beams
        self.prompt, *self.free = sequences
        self.prompt.pending = state.prompt[self.prompt.length :]
        self.ended: list[tuple[float, list[int], list[float]]] = []

    def steps(self) -> Generator[ForwardRequest | SelectedToken, list[ForwardResult], None]:
        """Search to the end, then give the best sequence."""
        state = self.state
        beams = [Beam([], [], self.prompt, state.constraints)]
        while beams and len(beams[0].tokens) < state.max_new_tokens and not self._over(beams):
            feeds = [Feed(beam.sequence, masks=self._masks(beam)) for beam in beams]
            results = yield ForwardRequest(feeds, state.contrast, scores=True)
            beams = self._extend(beams, results)
        for beam in beams:
            if len(beam.tokens) == state.max_new_tokens:
                self._end(beam.tokens, beam.logprobs)
        _, tokens, logprobs = self.ended[0]
        for token, logprob in zip(tokens, logprobs, strict=True):
            yield SelectedToken(token, logprob)

    def _masks(self, beam: Beam) -> list[Mask]:
        return [self.state.filter.mask([*self.state.prompt, *beam.tokens], len(beam.tokens), beam.state)]

    def _extend(self, beams: list[Beam], results: list[ForwardResult]) -> list[Beam]:
        """The best continuations of all beams, of which those that end leave."""
        state, totals = self.state, []
        for result in results:
            scores = result.scores()
            totals.append(sampling.log_softmax(scores) if np.isfinite(scores).any() else np.full(scores.shape, -np.inf))
        sums = np.stack([beam.total + logprobs for beam, logprobs in zip(beams, totals, strict=True)])
        best = sampling.top(sums.reshape(-1), self.count * (1 + max(1, len(state.eos))))
        if not len(best):
            raise ConstraintError("constraint: no token with a score is allowed here")
        living: list[tuple[int, int, float]] = []
        for rank, number in enumerate(best.tolist()):
            beam, token = divmod(number, sums.shape[1])
            logprob = float(totals[beam][token])
            if token not in state.eos:
                living.append((beam, token, logprob))
            elif rank < self.count:
                self._end([*beams[beam].tokens, token], [*beams[beam].logprobs, logprob])
            if len(living) == self.count:
                break
        return self._move(beams, living)

    def _move(self, beams: list[Beam], living: list[tuple[int, int, float]]) -> list[Beam]:
        """The beams of the next step; a second child of a beam takes the sequence of one without children."""
        keep = {beam: beams[beam].sequence for beam, _, _ in living if beams[beam].sequence is not self.prompt}
        self.free += [
            beam.sequence for i, beam in enumerate(beams) if i not in keep and beam.sequence is not self.prompt
        ]
        held, out = {id(beam.sequence): beam.tokens for beam in beams}, []
        for number, token, logprob in living:
            old = beams[number]
            sequence = keep.pop(number, None)
            if sequence is None:
                sequence = self.free.pop()
                self._follow(sequence, held.get(id(sequence), []), old)
            sequence.pending = [token]
            state = None if old.state is None else old.state.fork()
            if state:
                state.advance(token)
            out.append(Beam([*old.tokens, token], [*old.logprobs, logprob], sequence, state))
        return out

    def _follow(self, sequence: Sequence, held: list[int], leader: Beam) -> None:
        """Bring a free sequence, which holds these new tokens, to where a beam stands."""
        start, before = self.prompt.length, sequence.length
        sequence.share(self.prompt)
        same = 0
        while same < min(len(held), len(leader.tokens)) and held[same] == leader.tokens[same]:
            same += 1
        if leader.sequence is not self.prompt:
            sequence.copy(leader.sequence, min(max(before, start), start + same))

    def _worth(self, total: float, length: int) -> float:
        return total / length**self.state.params.length_penalty

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
