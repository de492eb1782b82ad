"""Speculative contrastive decoding (SCD, Yuan et al., arXiv 2311.08981): the amateur drafts, the expert verifies.

The amateur is a second model, or the base without its adapter. It drafts `draft_tokens` (the paper's gamma, 4 by
default) tokens by its own law P_a; the expert scores them in one pass, and each is accepted against the contrast P_n
of the two (O'Brien & Lewis, arXiv 2309.09117) with probability min(1, P_n / P_a), else drawn from the rest of P_n.
After an accepted draft one more pass of the amateur gives the law of one more token. Exact: the tokens are those of
plain contrastive decoding with the same pair, `draft="none"`, drawn ones in law. A base is no cheap amateur: CoLD with
trigram drafts contrasts with it in the same pass.
"""

from collections.abc import Generator

import numpy as np

from mindcold import sampling_params
from mindcold.decoding import sampling
from mindcold.decoding.drafts.draft_text import DraftText
from mindcold.decoding.forward import MAX_SCORED, Feed, ForwardRequest, ForwardResult, SequenceSpec, Steps
from mindcold.decoding.masks import allowed_part, root_masks
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.drafting import Draft
from mindcold.engine import Sequence
from mindcold.ops.contrastive_score.reference import contrastive_score

GAMMA = 4
"""Tokens the amateur drafts, as in the paper."""

Drafting = Generator[ForwardRequest, list[ForwardResult], list[int]]


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
        self.state, self.expert, self.amateur = state, sequences[0], DraftText(sequences[1])
        self.expert.pending = state.prompt[self.expert.length :]
        self.scores: list[np.ndarray] = []
        """The amateur's scores of the place after the text and after each draft token, as far as they are known."""
        self.laws: list[np.ndarray] = []
        """What each draft token was drawn from; empty where it is the best one."""

    def steps(self) -> Steps:
        """Draft by the amateur, verify by the expert against the contrast."""
        state = self.state
        while True:
            drafted = chain = yield from self._draft()
            masks = root_masks(state)
            if masks:
                kept, below = allowed_part(state, Draft.chain(chain))
                chain, masks = kept.tokens, [*masks, *below]
            feed = Feed(self.expert, Draft.chain(chain), masks)
            (result,) = yield ForwardRequest([feed], scores=True)
            state.drafted += len(chain)
            accepted, right = 0, True
            try:
                while right:
                    if accepted == len(self.scores):
                        self.scores.append((yield from self._amateur()))
                    token, logprob = self._choose(result, accepted, drafted)
                    right = accepted < len(chain) and token == chain[accepted]
                    accepted += right
                    yield SelectedToken(token, logprob, right)
            finally:  # the request may end in the middle of a draft
                state.count_accepted(accepted)
            self.expert.accept(range(accepted))
            self.expert.pending = state.token_ids[-1:]

    def _draft(self) -> Drafting:
        """Tokens by the amateur's own law; none where `draft` is none."""
        state = self.state
        self.scores, self.laws = [], []
        count = 0 if state.draft == "none" else min(state.params.draft_tokens or GAMMA, state.room - 1, MAX_SCORED - 1)
        chain: list[int] = []
        self.amateur.follow(state.context)
        while len(chain) < count and not (chain and chain[-1] in state.eos):
            scores = yield from self._amateur()
            self.scores.append(scores)
            chain.append(self._drafted(scores, chain))
            self.amateur.push(chain[-1])
        return chain

    def _amateur(self) -> Generator[ForwardRequest, list[ForwardResult], np.ndarray]:
        """Its scores after what it was given last."""
        (result,) = yield ForwardRequest([Feed(self.amateur.sequence)], scores=True, drafting=True)
        return result.scores()

    def _drafted(self, scores: np.ndarray, chain: list[int]) -> int:
        """The amateur's best token, or one that it draws."""
        state = self.state
        if not state.sampled:
            return int(scores.argmax())
        law = sampling.probabilities(scores, state.params)
        self.laws.append(law)
        position = len(state.token_ids) + len(chain)
        return sampling.draw(law, state.params.seed, state.index, position, sampling.DRAFT)

    def _choose(self, result: ForwardResult, head: int, drafted: list[int]) -> tuple[int, float]:
        """The token of a place by the contrast, and its log-probability; a draft that may not come is refused here."""
        state, params = self.state, self.state.params
        result.best(head)  # refused where nothing may come
        weights = np.array([[params.alpha, params.beta]], np.float32)
        scores = contrastive_score(result.scores(head)[None], self.scores[head][None], weights)[0][0]
        drawn = (self.laws[head], drafted[head]) if head < len(self.laws) else None
        return sampling.choose(scores, state.context, params, state.place(), drawn)
