"""The engine of a loaded model: opens sequences, runs steps, keeps what they have written."""

import time
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import NamedTuple

import mindspore as ms
import numpy as np

from mindcold.adapter import Adapter
from mindcold.engine.graph import Graph
from mindcold.engine.host_network import GivenLogits, HostNetwork
from mindcold.engine.network_factory import NetworkFactory
from mindcold.engine.pool import KVPool, Segment
from mindcold.engine.runtime import LOCK
from mindcold.engine.sequence import Sequence
from mindcold.engine.step import ScoreBetweenGraphs, ScoreStep
from mindcold.engine.step_cost import StepCost
from mindcold.engine.step_plan import MAX_ROWS, StepPlan, row_bucket
from mindcold.engine.step_trace import step_trace
from mindcold.errors import RequestError
from mindcold.ops import interrupts

SMALLEST_POOL = 1024


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What a step gives for each of its heads."""

    tokens: list[int]
    """Best token."""
    accepted: list[int]
    """The head of the draft node with that token after this one, -1 for none."""
    logprobs: list[float]
    """Its natural log-probability under the score; -inf where nothing may come, NaN where logits are not finite."""
    scores: ms.Tensor | None
    """Scores float32 [P, vocab], -inf for what may not come, if they were asked for."""
    best: np.ndarray | None
    """The k best tokens of each head, int32 [P, k], -1 where there is none, if they were asked for."""
    best_logprobs: np.ndarray | None
    """Their natural log-probabilities, float32 [P, k]."""
    seconds: float | None
    """What the step took; None where its graph had to be compiled first."""

    def row(self, head: int) -> np.ndarray:
        """Scores of one head, float32 [vocab]; read only."""
        assert self.scores is not None
        if ms.get_context("device_target") == "CPU":  # where the whole of them is in reach already
            return self.scores.asnumpy()[head]
        return self.scores[head].asnumpy()


class StepKind(NamedTuple):
    """What tells the compiled steps apart."""

    contrast: bool
    scores: bool
    masked: bool
    best: int
    """How many of the best tokens of each head come out."""


class Engine:
    """Runs steps of one model: rows of any mix of sequences and adapters, base weights read once for all of them."""

    def __init__(self, factory: NetworkFactory, backend: str = "auto"):
        self._factory, self._backend = factory, backend
        self._cache_dtype = factory.cache_dtype
        self._pool: KVPool | None = None
        self._network: ms.nn.Cell | HostNetwork | None = None
        self._moves: list[tuple[int, int]] = []
        self._ran: set[tuple[StepKind, int, int]] = set()
        self._graphs: dict[StepKind | None, Graph | ScoreBetweenGraphs] = {}
        self._trace = step_trace()
        self.costs: defaultdict[bool, StepCost] = defaultdict(StepCost)
        """What decoding steps cost, with and without scores."""

    @property
    def adapters(self) -> list[Adapter]:
        """The live adapters; an adapter's id is its place."""
        return list(self._factory.adapters)

    @property
    def weight_bytes(self) -> int:
        """Memory of the base's matrices, all of which a step reads, bytes."""
        return self._factory.weight_bytes

    @property
    def vocab_size(self) -> int:
        """Tokens of the vocabulary."""
        return self._factory.vocab_size

    @property
    def branches(self) -> bool:
        """Whether sequences may share and move slots, and drafts be trees: a network's own cache may not do so."""
        host = self._factory.host_cache
        return host is None or host.branches

    @property
    def keeps_cache(self) -> bool:
        """Whether keys and values are here, not in the network's own cache."""
        return self._factory.host_cache is None

    def lowered(self, dtype: str) -> "Engine":
        """An engine of the same model with weights of another dtype and no adapters yet.

        Raises RequestError where the weights are another library's, or cannot be had again.
        """
        return Engine(self._factory.lowered(dtype), self._backend)

    def slots_for(self, size: int) -> int:
        """Slots that a stream of so many tokens takes."""
        host = self._factory.host_cache
        page = host.page if host else 1
        return -(-size // page) * page

    @property
    def slot_bytes(self) -> int:
        """Memory of the keys and values of one token in one stream, bytes."""
        return KVPool.slot_bytes(self._factory.cache_shape, self._cache_dtype)

    @property
    def ready(self) -> bool:
        """Whether memory has been reserved."""
        return self._pool is not None

    @property
    def used_slots(self) -> int:
        """Slots of the KV pool up to the end of the last open sequence."""
        return self._pool.used if self._pool else 0

    def has_room(self, slots: int) -> bool:
        """Whether the pool has so many free slots, if not in one piece, or is large for what is open."""
        if self._pool is None:
            return False
        needed = self._pool.live + slots
        return needed < self._pool.slots and 2 * needed < self._pool.slots + SMALLEST_POOL

    def add_adapter(self, adapter: Adapter) -> int:
        """Make an adapter live and return its id; graphs are compiled anew where they hold adapters."""
        with LOCK:
            number = self._factory.add_adapter(adapter)
            self._renew()
        return number

    def reserve(self, slots: int) -> None:
        """Make the pool large enough for `slots` tokens over all streams; open sequences keep what they hold.

        The pool grows in powers of two, because its size may be part of every graph; a network's own cache is as
        large as it is. Raises RequestError when memory does not suffice.
        """
        if self._pool and self._pool.slots > slots:  # one slot is kept for padding rows
            return
        host, size = self._factory.host_cache, SMALLEST_POOL
        while size <= slots:
            size *= 2
        if host and host.slots is not None:
            if slots > host.slots:
                raise RequestError(
                    f"KV cache of {slots} tokens: that of the network has {host.slots} slots; "
                    "use shorter prompts, fewer new tokens or a smaller batch"
                )
            size = host.slots + 1
        self._pool = KVPool(self._factory.cache_shape, size, self._pool, host, self._cache_dtype)
        if not host:
            with LOCK:
                self._renew()

    def open(self, adapters: Items[int], size: int) -> Sequence | None:
        """A sequence of up to `size` tokens in one stream per adapter id, or None while the pool is full."""
        assert self._pool is not None, "reserve first"
        streams: list[Segment] = []
        for adapter in adapters:
            segment = self._pool.open(self.slots_for(size), adapter)
            if segment is None:
                for opened in streams:
                    self._pool.close(opened)
                return None
            streams.append(segment)
        return Sequence(self, streams)

    def close(self, sequence: Sequence) -> None:
        """Forget a sequence."""
        assert self._pool is not None
        for segment in sequence.streams:
            self._pool.close(segment)
            end = segment.start + segment.size
            self._moves = [move for move in self._moves if not segment.start <= move[1] < end]

    def shrink(self, sequence: Sequence, size: int) -> None:
        """Take the slots after the first `size` tokens from a sequence that shares nothing."""
        for segment in sequence.streams:
            end, segment.size = segment.start + segment.size, self.slots_for(size)
            self._moves = [move for move in self._moves if not segment.start + segment.size <= move[1] < end]

    def move(self, slots: Iterable[tuple[int, int]]) -> None:
        """Copy keys and values between slots at the start of the next step, in this order."""
        self._moves += slots
        assert self.branches or not self._moves

    def read(self, slots: Items[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Keys and values of some slots, moves that are to come included; see `KVPool.read`."""
        assert self._pool is not None
        held: dict[int, int] = {}
        for source, target in self._moves:
            held[target] = held.get(source, source)
        with LOCK:
            return self._pool.read([held.get(slot, slot) for slot in slots])

    def write(self, slots: Items[int], values: Items[tuple[np.ndarray, np.ndarray]]) -> None:
        """Put keys and values into slots of sequences that no move concerns; see `KVPool.write`."""
        assert self._pool is not None and not {target for _, target in self._moves} & set(slots)
        with LOCK:
            self._pool.write(slots, values)

    def run(self, plan: StepPlan, scores: bool = False, best: int = 0) -> StepOutput:
        """Run a plan: all of it happens, or nothing changes.

        The tokens are chosen in the graph; `scores`, and the `best` tokens of each head, come out only on request:
        a vocabulary of float32 per head costs more to hand over than to compute. What an interrupt (Ctrl-C) or an
        alarm raises in the meantime comes after the step.
        """
        while len(self._moves) > MAX_ROWS:  # more than one step can take
            self._launch(StepPlan())
        return self._launch(plan, scores, best)

    def _launch(self, plan: StepPlan, scores: bool = False, best: int = 0) -> StepOutput:
        moves = self._moves[:MAX_ROWS]
        rows, heads = max(plan.bucket, row_bucket(max(1, len(moves)))), row_bucket(max(1, len(plan.heads)))
        numbers, alpha_beta = plan.head_matrix(heads)
        kind = StepKind(plan.contrast, scores, plan.masked, best)
        arguments = [ms.Tensor(numbers), ms.Tensor(alpha_beta)]
        if plan.masked:
            arguments.append(ms.Tensor(plan.mask_matrix(heads, self.vocab_size)))
        with LOCK, interrupts.held():
            known, started = (kind, rows, heads) in self._ran, time.perf_counter()
            take = numbers[:2].reshape(-1) if plan.contrast else numbers[0]
            out = self._graph(kind)(self._given(plan.row_matrix(rows, moves), take), *arguments)
            chosen, logprobs = out[0].asnumpy(), out[1].asnumpy()
            best_tokens = out[-2].asnumpy() if best else None
            best_logprobs = out[-1].asnumpy() if best else None
            del self._moves[: len(moves)]
            self._ran.add((kind, rows, heads))
            seconds = time.perf_counter() - started if known else None
            if self._trace:
                self._trace.add(len(plan.rows), seconds)
        tokens, accepted = chosen.tolist()
        every = out[2] if scores else None
        return StepOutput(tokens, accepted, logprobs.tolist(), every, best_tokens, best_logprobs, seconds)

    def logits(self, plan: StepPlan) -> np.ndarray:
        """Raw logits of every row of a plan, float32 [rows of the plan, vocab]."""
        while len(self._moves) > MAX_ROWS:
            self._launch(StepPlan())
        moves = list(self._moves)
        rows = max(plan.bucket, row_bucket(max(1, len(moves))))
        matrix, take = plan.row_matrix(rows, moves), np.arange(rows, dtype=np.int32)
        with LOCK, interrupts.held():
            out = self._graph(None)(self._given(matrix, take), ms.Tensor(take)).asnumpy()
            del self._moves[: len(moves)]
        return out[: len(plan.rows)]

    def _renew(self) -> None:
        """After the pool or the adapters have changed: the network takes them, or it is built and compiled anew."""
        if self._network is not None and self._pool and self._factory.renew(self._network, self._pool.caches):
            return
        self._forget_graphs()

    def _forget_graphs(self) -> None:
        for graph in self._graphs.values():
            graph.release()
        self._graphs.clear()
        self._network = None
        self._ran.clear()

    def _built(self) -> ms.nn.Cell | HostNetwork:
        if self._network is None:
            assert self._pool is not None, "reserve first"
            self._network = self._factory.build(self._pool.caches)
        return self._network

    def _given(self, rows: np.ndarray, take: np.ndarray) -> ms.Tensor:
        """What a step's graph begins with: its rows, or the logits a host network gives for them."""
        network = self._built()
        return ms.Tensor(rows) if isinstance(network, ms.nn.Cell) else network(rows, take)

    def _graph(self, kind: StepKind | None) -> Graph | ScoreBetweenGraphs:
        """The step of a kind (None for bare logits), compiled in graph mode once per shape."""
        if kind not in self._graphs:
            network = self._built()
            cell = network if isinstance(network, ms.nn.Cell) else GivenLogits()
            if kind is not None:
                cell = ScoreStep(cell, kind.contrast, kind.scores, self._backend, kind.best)
            whole = kind is None or ScoreStep.in_graph(self._backend)
            self._graphs[kind] = Graph(cell) if whole else ScoreBetweenGraphs(cell)
        return self._graphs[kind]
