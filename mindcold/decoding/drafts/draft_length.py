"""How long a chain by a model is to be: as long as one more token is worth a pass of that model."""

from collections.abc import Sequence

from mindcold.decoding.request import RequestState
from mindcold.drafting import Draft

LONGEST = 16
"""Tokens of a chain at most, where their number is not given."""


def pays(state: RequestState, probabilities: Sequence[float], scores: bool, closing: bool = False) -> bool:
    """Whether one more token pays after a chain with these path probabilities; always where the length is given.

    `scores` says whether the model's scores come out; `closing` is that of `Budget.goes_on`.
    """
    if state.params.draft_tokens:
        return True
    source, budget = state.rollouts, state.draft_budget
    assert source and budget
    cost, own = state.engine.costs[state.needs_scores or closing], source.engine.costs[scores]
    if own.known:
        seconds = sum(own.line())
    else:  # by its size, before any of its passes was measured
        seconds = sum(cost.line()) * source.engine.weight_bytes / state.engine.weight_bytes
    return budget.goes_on(cost, seconds, probabilities, len(state.stream_adapters), closing)


def add(state: RequestState, draft: Draft, token: int, given: float) -> None:
    """One more token of a chain, to which the model gives this probability: with that of its being accepted."""
    path = draft.probabilities[-1] if draft.probabilities else 1.0
    chance = state.draft_budget.chances.of(given) if state.draft_budget else given
    draft.add(token, len(draft.tokens) - 1, path * chance)
