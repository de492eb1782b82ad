"""Speculative contrastive decoding (SCD, Yuan et al., arXiv 2311.08981): the amateur drafts, the expert verifies.

The amateur is a second model, or the base without its adapter. It drafts tokens by its own law P_a: `draft_tokens` (the
paper's gamma, 4 there), by default as many as pay. The expert scores them in one pass, and each is accepted against the
contrast P_n of the two (O'Brien & Lewis, arXiv 2309.09117) with probability min(1, P_n / P_a), else drawn from the rest
of P_n. After an accepted draft one more pass of the amateur gives the law of one more token. Exact: the tokens are
those of plain contrastive decoding with the same pair, `draft="none"`, drawn ones in law. A base is no cheap amateur:
CoLD with trigram drafts contrasts with it in the same pass.
"""

import math
from collections.abc import Generator

import numpy as np

from mindcold import sampling_params
from mindcold.decoding import sampling
from mindcold.decoding.drafts.draft_length import LONGEST, add, pays
from mindcold.decoding.drafts.draft_text import DraftText
from mindcold.decoding.forward import MAX_SCORED, Feed, ForwardRequest, ForwardResult, SequenceSpec, Steps
from mindcold.decoding.masks import allowed_part, root_masks
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.drafting import Draft
from mindcold.engine import Sequence

Drafting = Generator[ForwardRequest, list[ForwardResult], Draft]


class PairContrast:
    """One generation by a pair of models, each with its sequence."""

    keywords = frozenset({"amateur", sampling_params.CONTRAST, sampling_params.DRAFT, sampling_params.DRAFT_ADAPTER})
    samples = True
    constrained = branching = tables = False

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """The expert's and the amateur's."""
        assert state.rollouts is not None
        own = SequenceSpec(state.engine, state.stream_adapters, state.size, prompt=True)
        return [own, *state.rollouts.sequences(state.size)]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        self.state, self.expert, self.amateur = state, sequences[0], DraftText(sequences[1], state.prompt)
        self.expert.pending = state.prompt[self.expert.length :]
        self.scores: list[np.ndarray] = []
        """The amateur's scores of the place after the text and after each draft token, as far as they are known."""
        self.laws: list[np.ndarray] = []
        """What each draft token was drawn from; empty where it is the best one."""
        self.given: list[float] = []
        """What the amateur gave each draft token."""

    def steps(self) -> Steps:
        """Draft by the amateur, verify by the expert against the contrast."""
        state = self.state
        while True:
            drafted = draft = yield from self._draft()
            masks = root_masks(state)
            if masks:
                draft, below = allowed_part(state, draft)
                masks = [*masks, *below]
            chain, feed = draft.tokens, Feed(self.expert, draft, masks)
            (result,) = yield ForwardRequest([feed], scores=True)
            state.drafted += len(chain)
            accepted, right = 0, True
            try:
                while right:
                    if accepted == len(self.scores):
                        self.scores.append((yield from self._amateur()).scores())
                    token, logprob = self._choose(result, accepted, drafted.tokens)
                    right = accepted < len(chain) and token == chain[accepted]
                    accepted += right
                    yield SelectedToken(token, logprob, right)
            finally:  # the request may end in the middle of a draft
                state.count_accepted(accepted)
                if chain and state.draft_budget:
                    state.draft_budget.observed(draft.probabilities, accepted, self.given[: len(chain)])
            self.expert.accept(range(accepted))
            self.expert.pending = state.token_ids[-1:]

    def _draft(self) -> Drafting:
        """Tokens by the amateur's own law; none where `draft` is none."""
        state = self.state
        self.scores, self.laws, self.given = [], [], []
        count, draft = min(state.params.draft_tokens or LONGEST, state.room - 1, MAX_SCORED - 1), Draft()
        if state.draft == "none" or not (state.params.draft_tokens or self._ready()):
            count = 0
        self.amateur.follow(state.context)
        while len(draft.tokens) < count and pays(state, draft.probabilities, scores=True, closing=True):
            result = yield from self._amateur()
            self.scores.append(result.scores())
            token, logprob = self._drafted(result, draft.tokens) if state.sampled else result.best()
            self.given.append(math.exp(logprob))
            add(state, draft, token, self.given[-1])
            self.amateur.push(token)
            if token in state.eos:
                break
        return draft

    def _ready(self) -> bool:
        """Whether to draft for this step, where the length of drafts is not given."""
        budget = self.state.draft_budget
        return budget is not None and budget.ready()

    def _amateur(self) -> Generator[ForwardRequest, list[ForwardResult], ForwardResult]:
        """A pass of it after what it was given last."""
        (result,) = yield ForwardRequest([Feed(self.amateur.sequence)], scores=True, drafting=True)
        return result

    def _drafted(self, result: ForwardResult, chain: list[int]) -> tuple[int, float]:
        """A token that the amateur draws, with its log-probability."""
        state = self.state
        law = sampling.probabilities(result.scores(), state.params)
        self.laws.append(law)
        position = len(state.token_ids) + len(chain)
        token = sampling.draw(law, state.params.seed, state.index, position, sampling.DRAFT)
        return token, float(np.log(law[token]))

    def _choose(self, result: ForwardResult, head: int, drafted: list[int]) -> tuple[int, float]:
        """The token of a place by the contrast, and its log-probability; a draft that may not come is refused here."""
        state, params = self.state, self.state.params
        result.best(head)  # refused where nothing may come
        scores = sampling.contrast(result.scores(head), self.scores[head], params.alpha, params.beta)
        drawn = (self.laws[head], drafted[head]) if head < len(self.laws) else None
        return sampling.choose(scores, state.context, params, state.place(), drawn)
