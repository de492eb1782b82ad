"""Beam search: the sequences with the best sums of log-probabilities, as `transformers` has it.

Every step extends each of `num_beams` sequences; a sequence that ends is worth its sum / length ** length_penalty, and
the search is over when no living one can be worth more than the worst of `num_beams` ended ones. With drafts several
steps are verified in one pass (AtSpeed's strict rule, arXiv 2410.05165): the beams are the same. With
`score="contrastive"` it searches by CoLD's scores, as contrastive decoding did (Li et al. 2022, arXiv 2210.15097).
"""

from collections.abc import Generator
from dataclasses import dataclass

from mindcold import sampling_params
from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.decoding.drafts.beam_draft import BeamDrafts, draft_nodes, draft_sequences
from mindcold.decoding.forward import Candidates, Feed, ForwardRequest, ForwardResult, SequenceSpec
from mindcold.decoding.methods.ranking import rank
from mindcold.decoding.request import Ranked, RequestState, SelectedToken
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a beam stands in a pass: at a node of the draft of one of the beams that were fed."""

    beam: int
    path: list[int]
    """Nodes from the beam's last token on."""

    @property
    def head(self) -> int:
        """Head of its scores."""
        return 1 + self.path[-1] if self.path else 0


class BeamSearch:
    """One generation; nothing is decided before its end."""

    keywords = frozenset({"beam", sampling_params.DRAFT, sampling_params.TABLES, sampling_params.DRAFT_ADAPTER})
    samples, branching = False, True
    constrained = tables = False

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The prompt, which all beams share, a sequence for each beam, and those of a model that drafts."""
        nodes = draft_nodes(state) if state.draft != "none" else 0
        prompt = SequenceSpec(state.engine, state.stream_adapters, len(state.prompt) + nodes, prompt=True)
        beam = SequenceSpec(state.engine, state.stream_adapters, state.max_new_tokens + nodes)
        return [prompt, *[beam] * state.params.num_beams, *draft_sequences(state)]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        self.state, self.count = state, state.params.num_beams
        self.best = self.count * (1 + max(1, len(state.eos)))
        """Continuations that are looked at: of so many, `count` at least do not end the text."""
        self.prompt, self.free = sequences[0], sequences[1 : 1 + self.count]
        self.prompt.pending = state.prompt[self.prompt.length :]
        self.drafts = BeamDrafts(state, sequences[1 + self.count :])
        if state.drafter:
            state.drafter.observe(state.prompt, len(state.prompt))
        self.ended: list[tuple[float, list[int], list[float]]] = []

    def steps(self) -> Generator[ForwardRequest | SelectedToken, list[ForwardResult], None]:
        """Search to the end, then give the best sequence."""
        state = self.state
        beams = [Beam([], [], self.prompt, state.constraints)]
        while self._live(beams):
            pairs = yield from self.drafts.drafts(beams, state.max_new_tokens - len(beams[0].tokens) - 1)
            feeds = [Feed(beam.sequence, *pair) for beam, pair in zip(beams, pairs, strict=True)]
            results = yield ForwardRequest(feeds, state.contrast, best=self.best)
            beams = self._verified(beams, results)
        for beam in beams:
            if len(beam.tokens) == state.max_new_tokens:
                self._end(beam.tokens, beam.logprobs)
        state.ranked = self._ranked()
        try:
            for token, logprob in zip(state.ranked[0].token_ids, state.ranked[0].logprobs, strict=True):
                yield SelectedToken(token, logprob)
        finally:  # the request ends with the last token
            state.teach(len(state.token_ids))

    def _ranked(self) -> list[Ranked]:
        """The ended sequences, best first: by their worth, or by what they are worth to the constraints."""
        found = [Ranked(tokens, logprobs, worth) for worth, tokens, logprobs in self.ended]
        start = self.state.constraints
        if not self.state.params.rerank or start is None:
            return found
        forks = [start.fork() for _ in found]
        for fork, item in zip(forks, found, strict=True):
            fork.extend(item.token_ids)
        return rank(found, forks)

    def _live(self, beams: list[Beam]) -> bool:
        """Whether the search goes on."""
        return bool(beams) and len(beams[0].tokens) < self.state.max_new_tokens and not self._over(beams)

    def _verified(self, beams: list[Beam], results: list[ForwardResult]) -> list[Beam]:
        """The beams after as many steps as the drafts foresaw: while all best continuations are nodes of the trees.

        That is AtSpeed's strict rule, by which beams are those of a search without drafts.
        """
        state, steps = self.state, 0
        places = [Place(i, []) for i in range(len(beams))]
        now = beams
        while True:
            living = self._best(now, [results[place.beam].candidates(place.head) for place in places])
            children = [(places[number], token) for number, token, _ in living]
            nodes = [results[place.beam].feed.draft.child(place.head - 1, token) for place, token in children]
            now = [self._child(now[number], token, logprob) for number, token, logprob in living]
            if not self._live(now) or min(nodes) < 0:
                break
            places = [Place(place.beam, [*place.path, node]) for (place, _), node in zip(children, nodes, strict=True)]
            steps += 1
        state.drafted += sum(len(result.feed.draft.tokens) for result in results)
        state.count_accepted(steps)
        self.drafts.learn(beams, results)
        if now:
            self._move(beams, now, [place for place, _ in children])
        return now

    def _best(self, beams: list[Beam], candidates: list[Candidates]) -> list[tuple[int, int, float]]:
        """The best continuations of all beams as number, token and log-probability; those that end leave."""
        state = self.state
        found = [
            (beam.total + logprob, number, token, logprob)
            for number, (beam, after) in enumerate(zip(beams, candidates, strict=True))
            for token, logprob in after
        ]
        if not found:
            raise ConstraintError("constraint: no token with a score is allowed here")
        found.sort(key=lambda item: (-item[0], item[1:3]))
        living: list[tuple[int, int, float]] = []
        for place, (_, number, token, logprob) in enumerate(found[: self.best]):
            if token not in state.eos and not self._completes(beams[number], token):
                living.append((number, token, logprob))
            elif place < self.count:
                self._end([*beams[number].tokens, token], [*beams[number].logprobs, logprob])
            if len(living) == self.count:
                break
        return living

    def _completes(self, beam: Beam, token: int) -> bool:
        """Whether a token makes a beam a whole text, where no end-of-text can say so."""
        return self.state.ends_by_constraint and self.state.is_complete(self._child(beam, token, 0.0).state)

    def _child(self, beam: Beam, token: int, logprob: float) -> Beam:
        """A beam with one more token, still in the sequence of the other."""
        state = None if beam.state is None else beam.state.fork()
        if state:
            state.advance(token)
        return Beam([*beam.tokens, token], [*beam.logprobs, logprob], beam.sequence, state)

    def _move(self, old: list[Beam], beams: list[Beam], places: list[Place]) -> None:
        """Sequences of the beams of the next pass, each after a place in one of those before.

        The first one after a beam keeps its sequence; others take those of beams that nothing goes on from.
        """
        keep = {place.beam for place in places if old[place.beam].sequence is not self.prompt}
        held = {id(beam.sequence): beam.tokens for beam in old}
        self.free += [beam.sequence for i, beam in enumerate(old) if i not in keep and beam.sequence is not self.prompt]
        kept: list[tuple[Sequence, list[int]]] = []
        for beam, place in zip(beams, places, strict=True):
            leader = old[place.beam]
            if place.beam in keep:
                keep.remove(place.beam)
                kept.append((leader.sequence, place.path))
            else:
                beam.sequence = self.free.pop()
                self._follow(beam.sequence, held.get(id(beam.sequence), []), leader, place.path)
        for sequence, path in kept:  # after the copies of what its draft wrote
            sequence.accept(path)
        for beam in beams:
            beam.sequence.pending = beam.tokens[-1:]

    def _follow(self, sequence: Sequence, held: list[int], leader: Beam, path: list[int]) -> None:
        """Bring a free sequence, which holds these new tokens, to where a path after a beam ends."""
        start, before = self.prompt.length, sequence.length
        sequence.share(self.prompt)
        same = 0
        while same < min(len(held), len(leader.tokens)) and held[same] == leader.tokens[same]:
            same += 1
        sequence.copy(leader.sequence, min(max(before, start), start + same), path)

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
