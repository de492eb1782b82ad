"""The scheduler: one queue of requests of any method, admission by KV memory, and what shares a step."""

import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from mindcold.decoding.forward import Feed, ForwardRequest, ForwardResult, SequenceSpec, Steps
from mindcold.decoding.kept_prompts import KeptPrompts
from mindcold.decoding.prefix_cache import Prefix, PrefixCache
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
    prefix: Prefix | None = None
    """What it shares with others of its prompt."""


class Scheduler:
    """Runs requests together: every step takes rows of as many of them as fit, whatever their methods.

    Up to `max_batch` requests run at once, and waiting ones take the place of those that end. A request that fails ends
    with an error of its own; the others go on. What the prompts of waiting requests have in common is computed once,
    what `kept` has of earlier ones' not again. Several schedulers, in several threads, may share an engine.
    """

    def __init__(self, max_batch: int, kept: KeptPrompts | None = None):
        self.max_batch = max_batch
        self._kept = kept or KeptPrompts(0)
        self._waiting: deque[RequestState] = deque()
        self._active: list[ActiveRequest] = []
        self._work: defaultdict[Engine, deque[Work]] = defaultdict(deque)
        self._finished: list[RequestState] = []
        self._prefixes = PrefixCache()
        self.steps = self.idle_steps = 0
        """Steps of a model, and those that had fewer requests than `max_batch` though more were waiting."""

    @property
    def unfinished(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._active)

    @property
    def running_requests(self) -> list[RequestState]:
        """Those that hold sequences."""
        return [item.state for item in self._active]

    @property
    def unfinished_requests(self) -> list[RequestState]:
        """Those that wait, after those that run."""
        return [*self.running_requests, *self._waiting]

    def take_finished(self) -> list[RequestState]:
        """The requests that have ended since the last call, those that failed among them, without cancelled ones."""
        finished, self._finished = self._finished, []
        return finished

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
        for state in self.unfinished_requests:
            self.cancel(state)
        with LOCK:
            self._prefixes.close(self._kept)

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
                prefix = self._prefix(state)
                if prefix and not prefix.computed and prefix.users:
                    break  # another request computes it
                sequences = self._open_request(state, prefix)
            except RequestError as error:
                if self._active:
                    break  # room comes when one of those that run has ended
                self._waiting.popleft()
                state.fail(error)
                self._finished.append(state)
                continue
            if sequences is None:
                break
            self._waiting.popleft()
            state.started = time.perf_counter()
            active = ActiveRequest(state, sequences, self._steps(state, sequences, prefix), prefix=prefix)
            self._active.append(active)
            decided += self._go_on(active, None)
        return decided

    def _prefix(self, state: RequestState) -> Prefix | None:
        """The beginning of its prompt that others have as well, if there is one and room for it."""
        found = self._prefixes.find(state)
        length = self._prefixes.common(state, islice(self._waiting, 1, self.max_batch + 1))
        if length <= (len(found.ids) if found else 0):
            return found
        opened = self._open([SequenceSpec(state.engine, state.stream_adapters, length)])
        return self._prefixes.add(state, length, opened[0]) if opened else found

    def _open_request(self, state: RequestState, prefix: Prefix | None) -> list[Sequence] | None:
        """The sequences of a request that stands on a prefix from now on; see `_open`."""
        sequences, specs = None, state.method.search.sequences(state)
        if prefix:
            self._prefixes.use(prefix)
            specs = [prefix.rest(spec) for spec in specs]
        try:
            sequences = self._open(specs)
        finally:
            if prefix and sequences is None:
                self._prefixes.leave(prefix)
        state.weight_bytes = sum(engine.weight_bytes for engine in {spec.engine for spec in specs})
        state.kv_bytes = sum(spec.slots * spec.engine.slot_bytes for spec in specs)
        return sequences

    def _open(self, specs: list[SequenceSpec]) -> list[Sequence] | None:
        """The sequences of a request, all or none; None where those that run leave no room, RequestError for none."""
        opened = _opened(specs)
        for make_room in (self._kept.clear, self._prefixes.make_room):
            if opened is None and make_room():
                opened = _opened(specs)
        if opened is None and not (self._active and all(engine.has_room(n) for engine, n in _demand(specs).items())):
            self._reserve(specs)
            opened = _opened(specs)
        return opened

    def _reserve(self, specs: list[SequenceSpec]) -> None:
        """Room for a request, and at once for the largest waiting ones: a pool that grows costs every graph."""
        waiting = [state.method.search.sequences(state) for state in islice(self._waiting, 1, None)]
        waiting.sort(key=lambda found: sum(spec.slots for spec in found), reverse=True)
        wanted = [specs, *waiting[: self.max_batch - len(self._active) - 1]]
        spare = self._kept.slots
        while True:
            try:
                for engine, slots in _demand(spec for group in wanted for spec in group).items():
                    engine.reserve(engine.used_slots + slots + spare)
                return
            except RequestError:
                if len(wanted) == 1 and not spare:
                    raise
                wanted, spare = wanted[: len(wanted) - (not spare)], 0

    def _step(self, engine: Engine) -> list[TokenOutput]:
        """One step of one model: rows for the work that fits, then the requests whose passes are complete go on."""
        work = self._work[engine]
        self.steps += 1
        self.idle_steps += bool(self._waiting) and len(self._active) < self.max_batch
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
            for result in results or ():
                result.check()  # type: ignore[union-attr]  # all are there
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
        specs = active.state.method.search.sequences(active.state)
        for sequence, spec in zip(active.sequences, specs, strict=True):
            if spec.prompt and not active.state.error:
                self._kept.take(sequence, active.state.prompt)
            else:
                sequence.close()
        if active.prefix:
            self._prefixes.leave(active.prefix)
        if active.state.finish_reason != "cancelled":
            active.state.measure()
            self._finished.append(active.state)

    def _steps(self, state: RequestState, sequences: list[Sequence], prefix: Prefix | None) -> Steps:
        """The steps of a request; before them the prefix it shares, where nobody has computed it yet."""
        if prefix and not prefix.computed:
            self._kept.begin(prefix.sequence, prefix.ids)
            prefix.sequence.pending = prefix.ids[prefix.sequence.length :]
            yield ForwardRequest([Feed(prefix.sequence)], state.contrast)
            prefix.computed = True
        for sequence, spec in zip(sequences, state.method.search.sequences(state), strict=True):
            if prefix and prefix.is_shared(spec):
                sequence.share(prefix.sequence)
            elif spec.prompt:
                self._kept.begin(sequence, state.prompt)
        yield from state.method.search(state, sequences).steps()


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
