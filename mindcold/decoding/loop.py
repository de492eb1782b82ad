"""The decoding loop: every method, any number of requests, one step after the other."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from mindcold.constraints import ConstraintError
from mindcold.decoding.request import Decided, Request
from mindcold.decoding.search import decode_searches
from mindcold.drafting import Draft
from mindcold.engine import Engine, Scored, StepPlan
from mindcold.engine.engine import row_bucket


@dataclass(slots=True)
class Part:
    """What one request has in a step."""

    request: Request
    count: int
    """Its pending tokens that are in the step."""
    head: int
    """Number of its first head, -1 while tokens of its prompt are missing."""
    expert: int
    """Number of the first head that scores the expert alone, where masks move the cut of a contrast; else -1."""
    draft: Draft


def decode(engine: Engine, requests: list[Request], max_batch: int) -> Iterator[Decided]:
    """Yield tokens as they are decided; requests end when their finish_reason is set.

    Up to `max_batch` requests run together and waiting ones take the place of those that end. A step takes as many
    pending tokens of each request as fit its rows, so prefill, chunked prefill and decoding are the same step; while
    all requests decode, rows that are left carry drafts. All requests must be of one method; those that search do so in
    steps of their own, see `search.py`. Slots are given back when the generator ends or is abandoned.
    """
    if requests[0].method.search:
        yield from decode_searches(engine, requests, max_batch)
        return
    together = min(max_batch, len(requests))
    streams = requests[0].method.streams
    sizes = sorted((request.size * streams for request in requests), reverse=True)
    engine.reserve(engine.used_cells + sum(sizes[:together]))
    decode_rows = row_bucket(together * streams)
    longest = sum(sorted((len(request.prompt) * streams for request in requests), reverse=True)[:together])
    chunk = max(requests[0].options.prefill_chunk, together * streams)
    prefill_rows = max(decode_rows, row_bucket(min(chunk, longest)))
    waiting, active = deque(requests), list[Request]()
    try:
        while waiting or active:
            if not active:  # another generator may have taken the room in the meantime
                engine.reserve(engine.used_cells + waiting[0].size * streams)
            while waiting and len(active) < together and _admit(engine, waiting[0]):
                active.append(waiting.popleft())
            deciding = all(len(request.pending) == 1 for request in active)
            rows = decode_rows if deciding else prefill_rows
            began = time.perf_counter()
            plan, parts = _plan(active, rows if deciding else min(rows, chunk), deciding)
            scores = any(part.head >= 0 and part.request.needs_scores for part in parts)
            scored = engine.run(plan, rows, row_bucket(max(1, len(plan.heads))), streams > 1, scores)
            if deciding and scored.seconds is not None:
                active[0].draft_budget.cost.measured(len(plan.rows), time.perf_counter() - began)
            for part in parts:
                request = part.request
                request.target_passes += 1
                request.pending = request.pending[part.count :]
                path = list[int]()
                if part.head >= 0:
                    try:
                        yield from _verify(part, scored, path)
                    except ConstraintError as error:  # this request's own; the others go on
                        request.fail(str(error))
                if request.finish_reason:
                    active.remove(request)
                    _release(engine, request)
                else:
                    for slot in request.slots:
                        engine.commit(slot, part.count, path)
    finally:
        for request in active:
            _release(engine, request)


def _plan(active: list[Request], rows: int, deciding: bool) -> tuple[StepPlan, list[Part]]:
    """Rows for the pending tokens of each request and their drafts; heads where a token is to be decided."""
    plan, parts = StepPlan(), list[Part]()
    known = sum(len(request.slots) for request in active)
    for request in active:
        streams = len(request.slots)
        count = min(len(request.pending), (rows - len(plan.rows)) // streams)
        if count == 0:
            continue
        draft = Draft()
        if deciding and rows > known:
            draft = request.propose(known, known, (rows - known) // known)
        last = []
        for slot in request.slots:
            root = plan.extend(slot, request.pending[:count])
            plan.draft(slot, root, draft.tokens, draft.parents)
            last.append(root)
        head = expert = -1
        if count == len(request.pending):
            contrast = request.method.contrast
            head = len(plan.heads)
            nodes = [
                (-1, -1),
                *((token, head + 1 + node) for token, node in zip(draft.tokens, draft.parents, strict=True)),
            ]
            for i, node in enumerate(nodes):
                if contrast:
                    alpha = 0.0 if request.masked else contrast.alpha
                    plan.score(last[0] + i, last[1] + i, alpha, contrast.beta, *node)
                else:
                    plan.score(last[0] + i, token=node[0], parent=node[1])
            if contrast and request.masked:
                expert = len(plan.heads)
                for i in range(len(nodes)):
                    plan.score(last[0] + i)
        parts.append(Part(request, count, head, expert, draft))
    return plan, parts


def _verify(part: Part, scored: Scored, path: list[int]) -> Iterator[Decided]:
    """Decide tokens along the draft until one is not in it; `path` gets the nodes that came true.

    Each token is what plain decoding would have taken at its place: one choice per visited node, so drafts change
    nothing (for sampling, unlike the rule of ADED's code, arXiv 2407.12021).
    """
    request, draft, before = part.request, part.draft, len(part.request.token_ids)
    node, first = -1, part.head + 1
    while True:
        expert = part.expert + 1 + node if part.expert >= 0 else None
        token, logprob = request.choose(scored, first + node, expert)
        if token == scored.tokens[first + node]:
            node = max(int(scored.follow[first + node]) - first, -1)
        else:  # not the graph's own choice
            node = draft.child(node, token)
        request.accept(token)
        if node >= 0:
            path.append(node)
        yield Decided(request, token, logprob, node >= 0)
        if node < 0 or request.finish_reason:
            break
    request.observe(len(request.token_ids) - before, draft, len(path))


def _admit(engine: Engine, request: Request) -> bool:
    """Open the slots of a request, all or none."""
    for adapter in request.stream_adapters:
        slot = engine.open(request.size, adapter)
        if slot is None:
            _release(engine, request)
            return False
        request.slots.append(slot)
    request.pending = list(request.prompt)
    request.started = time.perf_counter()
    if request.drafter:
        request.drafter.observe(request.prompt, len(request.prompt))
    return True


def _release(engine: Engine, request: Request) -> None:
    for slot in request.slots:
        engine.close(slot)
    request.slots = []
