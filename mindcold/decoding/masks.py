"""What may come in a pass: the masks of the last known token, and of each node of a draft that may come at all."""

from collections.abc import Sequence

import numpy as np

from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.decoding.forward import Mask
from mindcold.decoding.request import RequestState
from mindcold.drafting import Draft


def root_masks(state: RequestState) -> list[Mask]:
    """What may come next, as the masks of a feed without a draft: empty where nothing is forbidden."""
    if not state.filter.active(len(state.token_ids)):
        return []
    return [state.filter.mask(state.context, len(state.token_ids), state.constraints)]


def allowed_part(state: RequestState, draft: Draft) -> tuple[Draft, list[np.ndarray | None]]:
    """The part of a draft that may come after what is decided; see `allowed_after`."""
    return allowed_after(state, state.token_ids, state.constraints, draft)


def allowed_after(
    state: RequestState, tokens: Sequence[int], constraints: ConstraintSet | None, draft: Draft
) -> tuple[Draft, list[np.ndarray | None]]:
    """The part of a draft that may come after these new tokens, and what may come after each of its nodes.

    Nodes after an end of text, and those whose constraint fails or leaves no token, are left out with all after them.
    """
    masks: list[np.ndarray | None] = []
    kept: list[int] = []
    states: dict[int, tuple[ConstraintSet | None, Mask, list[int]]] = {}
    ids, produced = [*state.prompt, *tokens], len(tokens)
    fork = constraints.fork() if constraints and state.filter.constrained else None
    states[-1] = fork, state.filter.mask(ids, produced, fork), []
    for node, (token, parent) in enumerate(zip(draft.tokens, draft.parents, strict=True)):
        if parent not in states:
            continue
        above, mask, path = states[parent]
        if (mask is not None and not mask[token]) or (path and path[-1] in state.eos):
            continue
        new = [*path, token]
        below = above.fork() if above else None
        try:
            if below:
                below.advance(token)
            after = None
            if token not in state.eos:
                after = state.filter.mask([*ids, *new], produced + len(new), below)
        except ConstraintError:
            continue
        states[node] = below, after, new
        masks.append(after)
        kept.append(node)
    return draft.subset(kept), masks
