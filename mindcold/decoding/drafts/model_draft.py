"""Drafts by a second model (speculative decoding, Leviathan et al., arXiv 2211.17192): a chain, or a tree."""

from collections.abc import Generator, Sequence

import numpy as np

from mindcold.decoding import sampling
from mindcold.decoding.drafts.draft_length import LONGEST, pays
from mindcold.decoding.drafts.draft_text import DraftText
from mindcold.decoding.forward import MAX_SCORED, Feed, ForwardRequest, ForwardResult, Mask
from mindcold.decoding.masks import allowed_part, root_masks
from mindcold.decoding.request import RequestState
from mindcold.drafting import Draft
from mindcold.engine import Sequence as KVSequence

LEVELS = 4
"""Depth of a tree, which by default has as many nodes on each level as its tokens have children."""

Drafting = Generator[ForwardRequest, list[ForwardResult], tuple[Draft, list[Mask]]]
"""Passes of the drafting model, and in the end what it drafts, with the masks of a feed with it."""


class ModelDrafts:
    """One request's drafts by a model, which has its keys and values here too and forgets what was refused."""

    def __init__(self, state: RequestState, sequences: Sequence[KVSequence]):
        self._state, self._text = state, DraftText(sequences[0])
        self.laws: list[np.ndarray] = []
        """What the tokens of the last draft were drawn from, float64 [vocab] each; empty where they are its best."""

    def draft(self, room: int) -> Drafting:
        """What follows the text, where `room` new tokens may come, as long as it pays or as `draft_tokens` says."""
        state, params = self._state, self._state.params
        source, budget = state.rollouts, state.draft_budget
        assert source and budget
        self.laws = []
        room = min(room - 1, source.limit - len(state.context), MAX_SCORED - 1)
        if room < 1 or not (params.draft_tokens or budget.ready()):
            return Draft(), root_masks(state)
        if params.draft_width > 1:
            return (yield from self._tree(min(room, params.draft_tokens or LEVELS * params.draft_width)))
        return (yield from self._chain(min(room, params.draft_tokens or LONGEST)))

    def _chain(self, count: int) -> Drafting:
        """A chain of at most `count` tokens: the best ones, or drawn ones."""
        state, text, draft = self._state, self._text, Draft()
        drawn, masks = state.params.draft_sample, root_masks(state)
        text.follow(state.context)
        while len(draft.tokens) < count and pays(state, draft.probabilities, drawn):
            (result,) = yield ForwardRequest([Feed(text.sequence, masks=masks[-1:])], scores=drawn, drafting=True)
            token, logprob = self._drawn(result, draft.tokens) if drawn else result.best()
            probability = (draft.probabilities[-1] if draft.probabilities else 1.0) * float(np.exp(logprob))
            draft.add(token, len(draft.tokens) - 1, probability)
            if masks:
                kept, below = allowed_part(state, draft)
                if len(kept.tokens) < len(draft.tokens):
                    self.laws = self.laws[: len(kept.tokens)]
                    return kept, [*masks[:1], *below]
                masks = [*masks[:1], *below]
            if token in state.eos:
                break
            text.push(token)
        return draft, masks

    def _drawn(self, result: ForwardResult, before: list[int]) -> tuple[int, float]:
        """One token from the model's own law under the request's sampling parameters."""
        state, params = self._state, self._state.params
        scores = sampling.penalise(result.scores(), [*state.context, *before], params.repetition_penalty)
        law = sampling.probabilities(scores, params)
        position = len(state.token_ids) + len(before)
        token = sampling.draw(law, params.seed, state.index, position, sampling.DRAFT)
        self.laws.append(law)
        return token, float(np.log(law[token]))

    def _tree(self, count: int) -> Drafting:
        """A tree of `count` nodes, level by level: of each level the `draft_width` likeliest paths go on."""
        state, width, draft = self._state, self._state.params.draft_width, Draft()
        masks, frontier = root_masks(state), [-1]
        while frontier and len(draft.tokens) < count:
            self._text.follow(state.context)  # its last token is the root of the tree in every pass
            feed = Feed(self._text.sequence, draft, masks)
            (result,) = yield ForwardRequest([feed], best=width, drafting=True)
            said, paths = result.verified(), [1.0, *draft.probabilities]
            assert said is not None
            found = [
                (paths[1 + node] * float(np.exp(logprob)), node, int(token))
                for node in frontier
                for token, logprob in zip(said.best[1 + node], said.logprobs[1 + node], strict=True)
                if token >= 0
            ]
            found.sort(key=lambda item: (-item[0], item[1:]))
            first = len(draft.tokens)
            draft = Draft(list(draft.tokens), list(draft.parents), list(draft.probabilities))
            for probability, node, token in found[: min(width, count - first)]:
                draft.add(token, node, probability)
            if masks:
                draft, below = allowed_part(state, draft)
                masks = [*masks[:1], *below]
            frontier = [i for i in range(first, len(draft.tokens)) if draft.tokens[i] not in state.eos]
        return draft, masks
