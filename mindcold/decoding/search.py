"""Methods that search: each request is a generator that asks for scores, and the asks of all share steps."""

import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from mindcold.constraints import ConstraintError
from mindcold.decoding.ask import Answer, Ask, answer, most_rows
from mindcold.decoding.request import Decided, Request
from mindcold.engine import Engine
from mindcold.errors import RequestError


class Picked(NamedTuple):
    """A token that is decided."""

    token: int
    logprob: float
    from_draft: bool = False


Steps = Generator[Ask | Picked, Answer, None]
"""Asks, each of which is answered, and tokens as they are decided."""


class Search(Protocol):
    """One request under way."""

    def steps(self) -> Steps:
        """Ask and decide without end; closed where the request ends."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


@dataclass(slots=True)
class Running:
    """A request whose search has begun."""

    request: Request
    search: Search
    steps: Steps
    ask: Ask | None = None


def decode_searches(engine: Engine, requests: list[Request], max_batch: int) -> Iterator[Decided]:
    """Yield tokens as they are decided; up to `max_batch` searches run together, each step for as many as fit it.

    A constraint that fails ends its own request with finish_reason "error".
    """
    waiting, active = deque(requests), list[Running]()
    try:
        while waiting or active:
            while waiting and len(active) < max_batch:
                request = waiting.popleft()
                request.started = time.perf_counter()
                assert request.method.search is not None
                try:
                    search = request.method.search(engine, request)
                except RequestError:  # no memory for another one beside those that run
                    if not active:
                        raise
                    waiting.appendleft(request)
                    break
                active.append(Running(request, search, search.steps()))
                yield from _go_on(active[-1], None)
            active = _living(active)
            for together in _grouped(active):
                answers = answer([running.ask for running in together if running.ask])
                for running, found in zip(together, answers, strict=True):
                    if running.ask and not running.ask.drafting:
                        running.request.target_passes += 1
                    yield from _go_on(running, found)
            active = _living(active)
    finally:
        for running in active:
            running.search.close()


def _go_on(running: Running, found: Answer | None) -> Iterator[Decided]:
    """Run a search to its next ask, or to the end of its request."""
    request = running.request
    running.ask = None
    try:
        item = next(running.steps) if found is None else running.steps.send(found)
        while isinstance(item, Picked):
            request.accept(item.token)
            yield Decided(request, *item)
            if request.finish_reason:
                return
            item = next(running.steps)
        running.ask = item
    except ConstraintError as error:
        request.fail(str(error))


def _living(active: list[Running]) -> list[Running]:
    """Those that go on; the others give back what they hold."""
    for running in active:
        if running.request.finish_reason:
            running.search.close()
    return [running for running in active if not running.request.finish_reason]


def _grouped(active: list[Running]) -> list[list[Running]]:
    """Searches whose asks share a step: of the same kind, the first that fit."""
    groups: dict[tuple[int, bool, bool], list[Running]] = {}
    rows: dict[tuple[int, bool, bool], int] = {}
    for running in active:
        ask = running.ask
        assert ask is not None
        group = groups.setdefault(ask.kind, [])
        if not group or rows[ask.kind] + ask.rows <= most_rows(ask):
            group.append(running)
            rows[ask.kind] = rows.get(ask.kind, 0) + ask.rows
    return list(groups.values())
