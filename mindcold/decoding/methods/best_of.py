"""Best of several samples: drawn together, the one worth most to the constraint is given.

Of execution as a reward (PerfCodeGen, arXiv 2412.03578) the part that needs no second prompt: candidates are drawn and
ranked by what they are worth, as of programs by the tests they pass. The rank changes what is given, so the output is
not a draw from the model.
"""

from dataclasses import dataclass, field

from mindcold.constraints import ConstraintSet
from mindcold.decoding import sampling
from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, Mask, SequenceSpec, Steps
from mindcold.decoding.methods.ranking import rank
from mindcold.decoding.request import Ranked, RequestState, SelectedToken, StoppingCriterion
from mindcold.engine import Sequence


@dataclass(slots=True)
class Sample:
    """One text under way."""

    number: int
    sequence: Sequence
    state: ConstraintSet
    criterion: StoppingCriterion | None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False


class BestOf:
    """One generation; nothing is decided before all of its samples have ended."""

    keywords = frozenset({"best of"})
    samples = branching = constrained = True
    tables = False

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The prompt, which all samples share, and a sequence for each of them."""
        prompt = SequenceSpec(state.engine, state.stream_adapters, len(state.prompt), prompt=True)
        own = SequenceSpec(state.engine, state.stream_adapters, state.max_new_tokens)
        return [prompt, *[own] * state.params.num_candidates]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        assert state.constraints is not None
        self.state, (self.prompt, *own) = state, sequences
        self.prompt.pending = state.prompt[self.prompt.length :]
        self.candidates = [
            Sample(i, sequence, state.constraints.fork(), state.criterion.fresh() if state.criterion else None)
            for i, sequence in enumerate(own)
        ]

    def steps(self) -> Steps:
        """Draw to the end, then give the best."""
        state = self.state
        assert state.constraints is not None
        start = Feed(self.prompt, masks=self._masks([], state.constraints))
        (result,) = yield ForwardRequest([start], state.contrast, scores=True)
        for item in self.candidates:
            item.sequence.share(self.prompt)
            self._take(item, result)
        while live := [item for item in self.candidates if not item.ended]:
            feeds = [Feed(item.sequence, masks=self._masks(item.tokens, item.state)) for item in live]
            for item, result in zip(live, (yield ForwardRequest(feeds, state.contrast, scores=True)), strict=True):
                self._take(item, result)
        found = [Ranked(item.tokens, item.logprobs, sum(item.logprobs) / len(item.tokens)) for item in self.candidates]
        state.ranked = rank(found, [item.state for item in self.candidates])
        for token, logprob in zip(state.ranked[0].token_ids, state.ranked[0].logprobs, strict=True):
            yield SelectedToken(token, logprob)

    def _masks(self, tokens: list[int], constraints: ConstraintSet) -> list[Mask]:
        return [self.state.filter.mask([*self.state.prompt, *tokens], len(tokens), constraints)]

    def _take(self, item: Sample, result: ForwardResult) -> None:
        """Draw the next token of a sample."""
        state = self.state
        result.best()  # refused where nothing may come
        place = state.place(len(item.tokens), item.number)
        token, logprob = sampling.choose(result.scores(), [*state.prompt, *item.tokens], state.params, place)
        item.tokens.append(token)
        item.logprobs.append(logprob)
        item.state.advance(token)
        item.sequence.pending = [token]
        whole = token in state.eos or state.is_complete(item.state)
        item.ended = whole or len(item.tokens) == state.max_new_tokens
        if item.criterion and item.criterion(token, item.ended):
            item.ended = True
