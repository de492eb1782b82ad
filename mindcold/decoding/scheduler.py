"""The scheduler: one queue of requests of any method, admission by KV memory, and what shares a step."""

import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from mindcold.decoding.forward import ForwardRequest, ForwardResult, SequenceSpec, Steps
from mindcold.decoding.method import Search
from mindcold.decoding.request import RequestState, SelectedToken
from mindcold.decoding.step_batch import StepBatch, Work
from mindcold.engine import LOCK, Engine, Sequence
from mindcold.errors import MindcoldError, RequestError


class TokenOutput(NamedTuple):
    """One token of one request."""

    request: RequestState
    token: int
    logprob: float
    from_draft: bool


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """A request that holds sequences, and the pass it waits for."""

    state: RequestState
    sequences: list[Sequence]
    steps: Steps
    results: list[ForwardResult | None] = field(default_factory=list)
    """Of the feeds of the pass under way."""
    missing: int = 0
    """Feeds that have no result yet."""


class Scheduler:
    """Runs requests together: every step takes rows of as many of them as fit, whatever their methods.

    Up to `max_batch` requests run at once, and waiting ones take the place of those that end. A request that fails ends
    with an error of its own; the others go on. Several schedulers, in several threads, may share an engine.
    """

    def __init__(self, max_batch: int):
        self.max_batch = max_batch
        self._waiting: deque[RequestState] = deque()
        self._active: list[ActiveRequest] = []
        self._work: defaultdict[Engine, deque[Work]] = defaultdict(deque)

    @property
    def unfinished(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._active)

    def add(self, state: RequestState) -> None:
        """Queue a request."""
        self._waiting.append(state)

    def cancel(self, state: RequestState) -> None:
        """Stop a request, wherever it is; it ends with finish_reason "cancelled"."""
        with LOCK:
            if state in self._waiting:
                self._waiting.remove(state)
            if not state.finish_reason:
                state.finish("cancelled")
            for active in [item for item in self._active if item.state is state]:
                self._release(active)

    def close(self) -> None:
        """Stop all requests and give back what they hold."""
        for state in [*self._waiting, *(item.state for item in self._active)]:
            self.cancel(state)

    def step(self) -> list[TokenOutput]:
        """One step of every model that has work; the tokens it decides."""
        with LOCK:
            decided = self._admit()
            for engine in [engine for engine, work in self._work.items() if work]:
                decided += self._step(engine)
            return decided

    def _admit(self) -> list[TokenOutput]:
        """Let waiting requests in, as many as memory has room for; what they decide without a pass."""
        decided: list[TokenOutput] = []
        while self._waiting and len(self._active) < self.max_batch:
            state = self._waiting[0]
            try:
                specs = state.method.search.sequences(state)
                sequences = self._open(specs)
            except RequestError as error:
                if self._active:
                    break  # room comes when one of those that run has ended
                self._waiting.popleft()
                state.fail(error)
                continue
            self._waiting.popleft()
            state.started = time.perf_counter()
            try:
                search: Search = state.method.search(state, sequences)
                active = ActiveRequest(state, sequences, search.steps())
            except BaseException:
                _close(sequences)
                raise
            self._active.append(active)
            decided += self._go_on(active, None)
        return decided

    def _open(self, specs: list[SequenceSpec]) -> list[Sequence]:
        """The sequences of a request, all or none; RequestError where memory does not suffice."""
        opened = _opened(specs)
        if opened is None:
            self._reserve(specs)
            opened = _opened(specs)
        assert opened is not None
        return opened

    def _reserve(self, specs: list[SequenceSpec]) -> None:
        """Room for a request, and at once for the largest waiting ones: a pool that grows costs every graph."""
        waiting = [state.method.search.sequences(state) for state in islice(self._waiting, 1, None)]
        waiting.sort(key=lambda found: sum(spec.slots for spec in found), reverse=True)
        wanted = [specs, *waiting[: self.max_batch - len(self._active) - 1]]
        while wanted:
            try:
                for engine, slots in _demand(spec for group in wanted for spec in group).items():
                    engine.reserve(engine.used_slots + slots)
                return
            except RequestError:
                wanted.pop()
                if not wanted:
                    raise

    def _step(self, engine: Engine) -> list[TokenOutput]:
        """One step of one model: rows for the work that fits, then the requests whose passes are complete go on."""
        work = self._work[engine]
        batch = StepBatch(engine, work)
        began = time.perf_counter()
        done = batch.run()
        if batch.decoding and batch.timed:
            engine.costs[batch.scores].measured(batch.rows, time.perf_counter() - began)
        for item in batch.passes():
            _count_pass(item)
        self._work[engine] = deque(item for item in work if not item.complete)
        decided: list[TokenOutput] = []
        for item, result in done:
            active = item.owner
            active.results[item.index] = result
            active.missing -= 1
            if not active.missing and not active.state.finish_reason:
                decided += self._go_on(active, active.results)
        return decided

    def _go_on(self, active: ActiveRequest, results: list[ForwardResult | None] | None) -> list[TokenOutput]:
        """Run a method to its next pass, or to the end of its request."""
        state, decided = active.state, list[TokenOutput]()
        try:
            item = next(active.steps) if results is None else active.steps.send(results)  # type: ignore[arg-type]
            while isinstance(item, SelectedToken):
                state.append(item.token)
                decided.append(TokenOutput(state, *item))
                if state.finish_reason:
                    break
                item = next(active.steps)
            else:
                self._ask(active, item)
        except MindcoldError as error:
            state.fail(error)
        if state.finish_reason:
            self._release(active)
        return decided

    def _ask(self, active: ActiveRequest, forward: ForwardRequest) -> None:
        """Queue the feeds of a pass."""
        active.results = [None] * len(forward.feeds)
        active.missing = len(forward.feeds)
        for i, feed in enumerate(forward.feeds):
            self._work[feed.sequence.engine].append(Work(active, forward, i, feed))

    def _release(self, active: ActiveRequest) -> None:
        """Give back what a request holds."""
        self._active.remove(active)
        for engine, work in self._work.items():
            self._work[engine] = deque(item for item in work if item.owner is not active)
        active.steps.close()
        _close(active.sequences)
        if active.state.finish_reason != "cancelled":
            active.state.measure()


def _count_pass(item: Work) -> None:
    if item.forward.drafting:
        item.owner.state.draft_passes += 1
    else:
        item.owner.state.target_passes += 1


def _demand(specs: Iterable[SequenceSpec]) -> dict[Engine, int]:
    """Slots by engine."""
    found: dict[Engine, int] = defaultdict(int)
    for spec in specs:
        found[spec.engine] += spec.slots
    return found


def _opened(specs: list[SequenceSpec]) -> list[Sequence] | None:
    """The sequences, all or none, if the pools have room as they are."""
    opened: list[Sequence] = []
    for spec in specs:
        sequence = spec.engine.open(spec.adapters, spec.size) if spec.engine.ready else None
        if sequence is None:
            _close(opened)
            return None
        opened.append(sequence)
    return opened


def _close(sequences: list[Sequence]) -> None:
    for sequence in sequences:
        sequence.close()
