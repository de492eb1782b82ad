"""The decoding loop: every method, any number of requests, one step after the other."""

import time
from collections import deque
from collections.abc import Iterator

from mindcold.decoding.request import Request
from mindcold.engine import Engine, StepPlan
from mindcold.engine.engine import row_bucket


def decode(engine: Engine, requests: list[Request], max_batch: int) -> Iterator[tuple[Request, int, float]]:
    """Yield (request, token id, log-probability) as tokens are decided; requests end when their finish_reason is set.

    Up to `max_batch` requests run together and waiting ones take the place of those that end. A step takes as many
    pending tokens of each request as fit its rows, so prefill, chunked prefill and decoding are the same step. All
    requests must have methods with the same number of streams. Slots are given back when the generator ends or is
    abandoned.
    """
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
            plan, heads, taken = _plan(active, min(rows, chunk))
            scores = any(request.needs_scores for request in heads)
            scored = engine.run(plan, rows, row_bucket(together), streams > 1, scores)
            for request, count in taken:
                request.target_passes += 1
                request.pending = request.pending[count:]
                for slot in request.slots:
                    engine.commit(slot, count)
            for head, request in enumerate(heads):
                token, logprob = request.choose(scored, head)
                request.accept(token)
                yield request, token, logprob
                if request.finish_reason:
                    active.remove(request)
                    _release(engine, request)
    finally:
        for request in active:
            _release(engine, request)


def _plan(active: list[Request], rows: int) -> tuple[StepPlan, list[Request], list[tuple[Request, int]]]:
    """Rows for the pending tokens of each request; heads for the requests whose last token is among them."""
    plan, heads, taken = StepPlan(), list[Request](), list[tuple[Request, int]]()
    for request in active:
        count = min(len(request.pending), (rows - len(plan.rows)) // len(request.slots))
        if count == 0:
            continue
        last = [plan.extend(slot, request.pending[:count]) for slot in request.slots]
        taken.append((request, count))
        if count == len(request.pending):
            contrast = request.method.contrast
            if contrast:
                plan.score(last[0], last[1], contrast.alpha, contrast.beta)
            else:
                plan.score(last[0])
            heads.append(request)
    return plan, heads, taken


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
    return True


def _release(engine: Engine, request: Request) -> None:
    for slot in request.slots:
        engine.close(slot)
    request.slots = []
