"""Drafts for beam search (the part of AtSpeed that needs no training, Lin et al., arXiv 2410.05165).

A wider beam of a drafting model, or what the trigram tables hold likely after each beam; one pass of the target then
verifies all beams, each with its tree. Beyond the paper: where a pass has scored nodes that beams go on through, though
not all beams' nodes were there, the next trees begin with what the target has said after them.
"""

from collections.abc import Generator, Sequence
from typing import Protocol

from mindcold.constraints import ConstraintSet
from mindcold.decoding.drafts.draft_text import DraftText
from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, Mask, SequenceSpec
from mindcold.decoding.masks import allowed_after
from mindcold.decoding.request import RequestState
from mindcold.drafting import Draft
from mindcold.drafting.drafter import Path
from mindcold.engine import Sequence as KVSequence

LEVELS = 3
"""Steps ahead that are drafted: all beams have to be foreseen, so that width is worth more than depth."""

WIDER = 4
"""Beams of the draft for each of the target's, where `draft_tokens` does not say how many nodes there are."""

MOST = 64
"""Nodes of all trees of a step at most."""

Allowed = tuple[Draft, list[Mask]]
"""A draft, and the masks of a feed with it."""

Drafting = Generator[ForwardRequest, list[ForwardResult], list[Allowed]]


class Drafted(Protocol):
    """A beam, as far as drafts have to know it."""

    tokens: list[int]
    state: ConstraintSet | None

    @property
    def total(self) -> float: ...


def draft_nodes(state: RequestState) -> int:
    """Nodes of all trees of a step at most."""
    return min(state.params.draft_tokens or LEVELS * WIDER * state.params.num_beams, MOST)


def draft_sequences(state: RequestState) -> list[SequenceSpec]:
    """Sequences of the model that drafts, if one does: the prompt, and one for each beam."""
    if not state.rollouts:
        return []
    main, *_ = state.rollouts.sequences(len(state.prompt), nodes=draft_nodes(state))
    beam = SequenceSpec(main.engine, main.adapters, state.max_new_tokens + draft_nodes(state))
    return [main, *[beam] * state.params.num_beams]


class BeamDrafts:
    """One request's drafts after its beams."""

    def __init__(self, state: RequestState, sequences: Sequence[KVSequence]):
        self._state, self._count = state, draft_nodes(state)
        self._said: dict[Path, tuple[ForwardResult, int]] = {}
        """Where the target has said what follows a beam's tokens: result and head."""
        texts = [DraftText(sequence, state.prompt) for sequence in sequences]
        self._prompt, self._texts = (texts[0] if texts else None), texts[1:]

    def drafts(self, beams: Sequence[Drafted], room: int) -> Drafting:
        """A tree after each beam, of `room` levels at most."""
        if self._prompt is None:
            return self._recalled(beams, room)
        found = yield from self._searched(beams, room)
        return found

    def learn(self, beams: Sequence[Drafted], results: Sequence[ForwardResult]) -> None:
        """What the target said in the last pass, after each beam and each node."""
        self._said = {}
        if self._prompt is None:
            return
        for beam, result in zip(beams, results, strict=True):
            paths = [tuple(beam.tokens), *((*beam.tokens, *path) for path in result.feed.draft.paths())]
            self._said |= {path: (result, head) for head, path in enumerate(paths)}

    def _recalled(self, beams: Sequence[Drafted], room: int) -> list[Allowed]:
        """What the tables hold likely."""
        state, found = self._state, list[Allowed]()
        for beam in beams:
            draft = Draft()
            if state.drafter and room > 0 and self._count >= len(beams):
                draft = state.drafter.propose([*state.prompt, *beam.tokens], self._count // len(beams))
            found.append(self._allowed(beam, draft))
        return found

    def _searched(self, beams: Sequence[Drafted], room: int) -> Drafting:
        """The best paths of a wider beam search by the model, which goes on from the target's sums.

        What the target itself has said takes the place of what the model says.
        """
        state, source, count = self._state, self._state.rollouts, self._count
        width = max(state.params.num_beams, count // LEVELS)
        assert source
        room = min(room, source.limit - len(state.prompt) - len(beams[0].tokens))
        pairs = [self._allowed(beam, Draft()) for beam in beams]
        sums, frontier = [[beam.total] for beam in beams], [(i, -1) for i in range(len(beams))]
        paths = [[tuple(beam.tokens)] for beam in beams]
        while frontier and room > 0 and count > 0:
            results: list[ForwardResult] = []
            if any(paths[beam][1 + node] not in self._said for beam, node in frontier):
                feeds = [Feed(text.sequence, *pair) for text, pair in zip(self._stand(beams), pairs, strict=True)]
                results = yield ForwardRequest(feeds, best=width, drafting=True)
            found, sure = list[tuple[float, int, int, int]](), list[tuple[float, int, int, int]]()
            for beam, node in frontier:
                said = self._said.get(paths[beam][1 + node])
                result, head = said or (results[beam], 1 + node)
                for token, logprob in result.candidates(head):
                    if token not in state.eos:  # no beam goes on through an end
                        item = sums[beam][1 + node] + logprob, beam, node, token
                        (found if said is None else sure).append(item)
            # of what is known no more than there are beams can be among the best
            found = sorted(found + sorted(sure, key=_best_first)[: state.params.num_beams], key=_best_first)
            frontier, drafts = [], [draft for draft, _ in pairs]
            for total, beam, node, token in found[: min(width, count)]:
                frontier.append((beam, drafts[beam].add(token, node)))
                sums[beam].append(total)
                paths[beam].append((*paths[beam][1 + node], token))
            count, room = count - len(frontier), room - 1
            pairs = [self._allowed(beam, draft) for beam, draft in zip(beams, drafts, strict=True)]
            if any(len(kept.tokens) < len(draft.tokens) for (kept, _), draft in zip(pairs, drafts, strict=True)):
                break  # a constraint has failed after a node
        return pairs

    def _allowed(self, beam: Drafted, draft: Draft) -> Allowed:
        """The part of a draft that may come after a beam, and the masks of its feed, if anything is forbidden."""
        state = self._state
        if not state.filter.active(len(beam.tokens)):
            return draft, []
        root = state.filter.mask([*state.prompt, *beam.tokens], len(beam.tokens), beam.state)
        kept, below = allowed_after(state, beam.tokens, beam.state, draft)
        return kept, [root, *below]

    def _stand(self, beams: Sequence[Drafted]) -> list[DraftText]:
        """The draft's sequences after the beams, each the one that holds most of its beam."""
        state, prompt, free, found = self._state, self._prompt, list(self._texts), []
        assert prompt
        if not beams[0].tokens:
            prompt.follow(state.prompt)
            return [prompt]
        for beam in beams:
            ids = [*state.prompt, *beam.tokens]
            text = max(free, key=lambda text: text.common(ids))
            free.remove(text)
            text.follow(ids, prompt)
            found.append(text)
        return found


def _best_first(item: tuple[float, int, int, int]) -> tuple[float, tuple[int, ...]]:
    """The order of continuations: by their sums, then as they came."""
    return -item[0], item[1:]
