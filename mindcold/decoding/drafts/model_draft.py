"""Drafts by a second model (speculative decoding, Leviathan et al., arXiv 2211.17192): a chain, or a tree."""

import math
from collections.abc import Generator, Sequence

import numpy as np

from mindcold.decoding import sampling
from mindcold.decoding.drafts.draft_length import LONGEST, add, pays
from mindcold.decoding.drafts.draft_text import DraftText
from mindcold.decoding.forward import MAX_SCORED, Feed, ForwardRequest, ForwardResult, Mask
from mindcold.decoding.masks import allowed_part, root_masks
from mindcold.decoding.request import RequestState
from mindcold.drafting import Draft
from mindcold.drafting.drafter import Path, likeliest_paths
from mindcold.engine import Sequence as KVSequence

LEVELS = 4
"""Depth of a tree, which by default has as many nodes on each level as its tokens have children."""

Drafting = Generator[ForwardRequest, list[ForwardResult], tuple[Draft, list[Mask]]]
"""Passes of the drafting model, and in the end what it drafts, with the masks of a feed with it."""


def tree_nodes(state: RequestState) -> int:
    """Nodes of each tree at most; 0 where drafts are chains."""
    source, params = state.rollouts, state.params
    if not source or params.draft_width == 1 or not (state.engine.branches and source.engine.branches):
        return 0
    return min(params.draft_tokens or LEVELS * params.draft_width, MAX_SCORED - 1)


class ModelDrafts:
    """One request's drafts by a model, which has its keys and values here too and forgets what was refused."""

    def __init__(self, state: RequestState, sequences: Sequence[KVSequence]):
        self._state, self._text = state, DraftText(sequences[0], state.prompt)
        self.given: list[float] = []
        """What the model gave each token of the last chain."""
        self.laws: list[np.ndarray] = []
        """What the tokens of the last draft were drawn from, float64 [vocab] each; empty where they are its best."""

    def draft(self, room: int) -> Drafting:
        """What follows the text, where `room` new tokens may come, as long as it pays or as `draft_tokens` says."""
        state, params = self._state, self._state.params
        source, budget = state.rollouts, state.draft_budget
        assert source and budget
        self.laws, self.given = [], []
        room = min(room - 1, source.limit - len(state.context), MAX_SCORED - 1)
        if room < 1 or not (params.draft_tokens or budget.ready()):
            return Draft(), root_masks(state)
        if nodes := tree_nodes(state):
            return (yield from self._tree(nodes, room))
        return (yield from self._chain(min(room, params.draft_tokens or LONGEST)))

    def _chain(self, count: int) -> Drafting:
        """A chain of at most `count` tokens: the best ones, or drawn ones."""
        state, text, draft = self._state, self._text, Draft()
        drawn, masks = state.params.draft_sample, root_masks(state)
        text.follow(state.context)
        while len(draft.tokens) < count and pays(state, draft.probabilities, drawn):
            (result,) = yield ForwardRequest([Feed(text.sequence, masks=masks[-1:])], scores=drawn, drafting=True)
            token, logprob = self._drawn(result, draft.tokens) if drawn else result.best()
            self.given.append(math.exp(logprob))
            add(state, draft, token, self.given[-1])
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

    def _tree(self, count: int, depth: int) -> Drafting:
        """A tree of the `count` likeliest paths; those that go on are the `draft_width` likeliest of each level.

        (EAGLE-2, arXiv 2406.16858.) A level of which no path would be among them is left out.
        """
        state, width, root = self._state, self._state.params.draft_width, root_masks(self._state)
        found, expanded, grown, masks = dict[Path, float](), dict[Path, float](), Draft(), root
        frontier: dict[Path, float] = {(): 1.0}
        for _ in range(min(depth, -(-count // width))):
            self._text.follow(state.context)  # its last token is the root of the tree in every pass
            (result,) = yield ForwardRequest([Feed(self._text.sequence, grown, masks)], best=width, drafting=True)
            heads = {path: head for head, path in enumerate([(), *grown.paths()])}
            new = {
                (*path, token): probability * min(1.0, math.exp(logprob))
                for path, probability in frontier.items()
                for token, logprob in result.candidates(heads[path])
            }
            found |= new
            least = sorted(found.values())[-count] if len(found) >= count else 0.0
            frontier = {path: new[path] for path in likeliest_paths(new, width) if new[path] > least}
            expanded |= {path: value for path, value in frontier.items() if path[-1] not in state.eos}
            grown, masks = self._allowed(Draft.of_paths(expanded), root)
            frontier = {path: frontier[path] for path in grown.paths() if path in frontier}
            if not frontier:
                break
        return self._allowed(Draft.of_paths(found, count), root)

    def _allowed(self, draft: Draft, root: list[Mask]) -> tuple[Draft, list[Mask]]:
        """The part of a draft that may come, and the masks of a feed with it, if anything is forbidden."""
        if not root:
            return draft, []
        kept, below = allowed_part(self._state, draft)
        return kept, [*root, *below]
