"""Token by token, with a draft tree verified in the same pass: greedy decoding, sampling, CoLD and ADED.

CoLD (arXiv 2505.14620; the formula is that of O'Brien & Lewis, arXiv 2309.09117) is this under the contrast of adapter
and base; ADED (arXiv 2407.12021) is this with trigram drafts. Drafts change no token, sampled ones neither.
"""

import time

from mindcold import sampling_params
from mindcold.decoding import sampling
from mindcold.decoding.drafts.model_draft import ModelDrafts, tree_nodes
from mindcold.decoding.forward import Feed, ForwardRequest, SequenceSpec, Steps
from mindcold.decoding.masks import allowed_part, root_masks
from mindcold.decoding.request import RequestState
from mindcold.drafting import Draft
from mindcold.engine import Sequence

SEARCHED = 32
"""Nodes of the tree that a draft is taken from where only one path of it can be verified."""


class TokenTree:
    """One generation: its sequence, and the draft of the step under way."""

    keywords = sampling_params.DRAFT_GROUPS | {sampling_params.LIKELY}
    samples = True
    constrained = branching = tables = False

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """One, as long as the text may get, and one of a model that drafts."""
        size, nodes = state.size, TokenTree.nodes(state)
        own = SequenceSpec(state.engine, state.stream_adapters, size + nodes, prompt=True)
        return [own, *(state.rollouts.sequences(size, nodes=nodes) if state.rollouts else [])]

    @staticmethod
    def nodes(state: RequestState) -> int:
        """KV slots for a draft tree: where its size is given, it may have more nodes than tokens may still come."""
        if state.rollouts:
            return tree_nodes(state)
        return (state.draft_size or 0) if state.drafter and state.engine.branches else 0

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        self.state, (self.sequence, *others) = state, sequences
        self.model = ModelDrafts(state, others) if state.rollouts else None
        self.sequence.pending = state.prompt[self.sequence.length :]
        if state.drafter:
            state.drafter.observe(state.prompt, len(state.prompt))

    @property
    def room(self) -> int:
        """New tokens that this sequence may still get."""
        return self.state.room

    def steps(self) -> Steps:
        """Tokens as passes decide them."""
        while True:
            yield from self.advance()

    def advance(self) -> Steps:
        """The tokens of one pass: one or, where drafts are right, several at once."""
        state, sequence = self.state, self.sequence
        pair = (yield from self.model.draft(self.room)) if self.model else (Draft(), root_masks(state))
        self.feed = Feed(sequence, *pair)
        offer = self._offer if state.drafter else None
        request = ForwardRequest([self.feed], state.contrast, state.needs_scores, state.best, offer=offer)
        (self.result,) = yield request
        before, path, result, head = len(state.token_ids), list[int](), self.result, 0
        try:
            for selected, node in result.accept(self._choose if state.needs_scores else result.best):
                if state.params.top_logprobs:
                    state.top_logprobs.append(result.candidates(head)[: state.params.top_logprobs])
                head = 1 + node
                if node >= 0:
                    path.append(node)
                yield selected
        finally:  # the request may end in the middle of a draft
            self._observe(len(state.token_ids) - before, len(path))
        sequence.accept(path)
        sequence.pending = state.token_ids[-1:]

    def _choose(self, head: int) -> tuple[int, float]:
        """Token and log-probability of a head, from its scores."""
        state, result, laws = self.state, self.result, self.model.laws if self.model else []
        result.best(head)  # refused where nothing may come
        # laws are those of a chain: node i follows head i
        drawn = (laws[head], self.feed.draft.tokens[head]) if head < len(laws) else None
        return sampling.choose(result.scores(head), state.context, state.params, state.place(), drawn)

    def _offer(self, rows: int, drafting: int, room: int) -> None:
        """Draft for a step that has `rows` rows anyway, `drafting` requests and room for so many nodes, if it pays."""
        state, budget = self.state, self.state.draft_budget
        # a row is worth what it costs when all that draft in this step do as this one
        wanted, streams = state.draft_size, drafting * len(self.sequence.streams)
        depth = self.room - 1
        count = min(room, wanted or depth)
        if wanted and room < wanted and depth:
            state.draft_cap = min(room, state.draft_cap or room)
        if min(count, depth) < 1 or not (wanted or (budget and budget.ready())):
            return
        began = time.perf_counter()
        cost = self.sequence.engine.costs[state.needs_scores]
        if wanted:
            draft = self._propose(count).shallow(depth)
        else:
            assert budget
            draft = self._propose(count, budget.floor(cost, rows, streams))
            draft = draft.first(budget.choose(cost, draft.probabilities, rows, streams, count))
        if self.feed.masks:
            draft, masks = allowed_part(state, draft)
            self.feed.masks = [*self.feed.masks, *masks]
        self.feed.draft = draft
        state.drafting_seconds += time.perf_counter() - began

    def _propose(self, count: int, floor: float = 0.0) -> Draft:
        """At most `count` nodes: a tree, or the likeliest path of one where the engine verifies no trees."""
        state = self.state
        assert state.drafter
        if state.engine.branches:
            return state.drafter.propose(state.context, count, floor)
        return state.drafter.propose(state.context, max(count, SEARCHED), floor).likeliest().first(count)

    def _observe(self, new: int, accepted: int) -> None:
        """What became of a draft: let budget and drafter learn."""
        state, draft = self.state, self.feed.draft
        state.drafted += len(draft.tokens)
        state.count_accepted(accepted)
        if draft.tokens and state.draft_budget:
            state.draft_budget.observed(draft.probabilities, accepted, self.model.given if self.model else ())
        state.teach(new, self.result.verified(state.drafter.best if state.drafter else 0))
