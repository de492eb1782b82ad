"""The engine of a loaded model: opens slots, runs steps, commits what was accepted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import mindspore as ms
import numpy as np

from mindcold.adapter import Adapter
from mindcold.config import ModelConfig
from mindcold.engine.pool import KVPool, Slot
from mindcold.engine.step import ScoreStep
from mindcold.engine.step_plan import StepPlan
from mindcold.model import CausalLM, Weights
from mindcold.model.adapter_bank import AdapterBank

ROW_BUCKETS = (16, 64, 256)
"""Rows of a step are padded to one of these, so that graphs have static shapes and few are compiled.

The operators leave padding out, and a row's bits do not depend on the rows beside it: a bucket costs next to nothing.
"""

SMALLEST_POOL = 1024

_NUMBERS = count()


def row_bucket(rows: int) -> int:
    """The smallest bucket that holds this many rows."""
    return next(bucket for bucket in ROW_BUCKETS if bucket >= rows)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a step gives for each of its heads."""

    tokens: np.ndarray
    """Best token, int32 [P]."""
    follow: np.ndarray
    """The head of the draft's node with that token behind this one, -1 for none, int32 [P]."""
    logprobs: np.ndarray
    """Its log-probability (natural log) under the score, float32 [P]."""
    scores: ms.Tensor | None
    """Masked scores float32 [P, vocab], if they were asked for."""
    seconds: float | None
    """What the step took; None where its graph had to be compiled first."""

    def row(self, head: int) -> np.ndarray:
        """Scores of one head, float32 [vocab]; read only."""
        assert self.scores is not None
        if ms.get_context("device_target") == "CPU":  # where the whole of them is in reach already
            return self.scores.asnumpy()[head]
        return self.scores[head].asnumpy()


class GraphKind(NamedTuple):
    """What tells the compiled steps apart."""

    contrast: bool
    scores: bool


class Engine:
    """Runs steps of one model: rows of any mix of sequences and adapters, base weights read once for all of them."""

    def __init__(self, config: ModelConfig, weights: Weights, backend: str = "auto"):
        self.config, self._weights, self._backend = config, weights, backend
        self._bank = AdapterBank(weights)
        self._pool: KVPool | None = None
        self._model: CausalLM | None = None
        self._moves: list[tuple[int, int]] = []
        self._ran: set[tuple[GraphKind, int, int]] = set()
        self._graphs: dict[GraphKind | None, Callable[..., Any]] = {}

    @property
    def adapters(self) -> list[Adapter]:
        return list(self._bank.adapters)

    @property
    def weight_bytes(self) -> int:
        """Memory of the base's matrices, all of which a step reads, bytes."""
        return self._weights.nbytes

    @property
    def used_cells(self) -> int:
        """Cells of the KV pool up to the end of the last open slot."""
        return self._pool.used if self._pool else 0

    def add_adapter(self, adapter: Adapter) -> int:
        """Make an adapter live and return its id; graphs are compiled anew, weights stay where they are."""
        number = self._bank.add(adapter)
        self._forget_graphs()
        return number

    def reserve(self, cells: int) -> None:
        """Make the pool large enough for `cells` tokens over all sequences; open slots keep what they hold.

        The pool grows in powers of two, because its size is part of every graph. Raises RequestError when memory
        does not suffice.
        """
        if self._pool and self._pool.cells > cells:  # one cell is kept for padding rows
            return
        size = SMALLEST_POOL
        while size <= cells:
            size *= 2
        self._pool = KVPool(self.config, size, self._pool)
        self._forget_graphs()

    def open(self, size: int, adapter: int) -> Slot | None:
        """A slot for up to `size` tokens under an adapter id (-1 for the base), or None while the pool is full."""
        assert self._pool is not None, "reserve first"
        return self._pool.open(size, adapter)

    def close(self, slot: Slot) -> None:
        """Forget a sequence."""
        assert self._pool is not None
        self._pool.close(slot)
        self._moves = [move for move in self._moves if not slot.start <= move[0] < slot.start + slot.size]

    def commit(self, slot: Slot, count: int, path: Sequence[int] = ()) -> None:
        """Keep the next `count` cells a step has written, and behind them those of the accepted nodes of its draft.

        `path` are numbers in the tree, ascending. Their keys and values are moved together at the start of the next
        step; everything else behind the committed cells is forgotten.
        """
        assert slot.length + count + len(path) <= slot.size
        slot.length += count
        first = slot.start + slot.length
        self._moves += [(first + node, first + i) for i, node in enumerate(path) if node != i]
        slot.length += len(path)

    def copy(self, source: Slot, target: Slot) -> None:
        """Bring a slot to the tokens of another under the same adapter, with which it agrees as far as it goes.

        The keys and values are copied at the start of the next step.
        """
        self._moves += [(source.start + i, target.start + i) for i in range(target.length, source.length)]
        target.length = source.length

    def run(self, plan: StepPlan, rows: int, heads: int, contrast: bool, scores: bool = False) -> Scored:
        """Run a plan in the graph for `rows` rows and `heads` heads (both are padded sizes).

        With `contrast` the heads may name a second row as the amateur. The tokens are chosen in the graph; `scores`
        come out only on request, since a vocabulary of float32 per head costs more to hand over than to compute.
        """
        while len(self._moves) > ROW_BUCKETS[-1]:  # more than one step can take
            rest, self._moves = self._moves[ROW_BUCKETS[-1] :], self._moves[: ROW_BUCKETS[-1]]
            self.run(StepPlan(), ROW_BUCKETS[-1], heads, contrast, scores)
            self._moves = rest
        plan.moves, self._moves = self._moves, []
        rows = row_bucket(max(rows, len(plan.moves)))
        numbers, alpha_beta = plan.head_matrix(heads)
        kind = GraphKind(contrast, scores)
        graph, known = self._graph(kind), (kind, rows, heads) in self._ran
        started = time.perf_counter()
        out = graph(ms.Tensor(plan.row_matrix(rows)), ms.Tensor(numbers), ms.Tensor(alpha_beta))
        verified, logprobs = out[0].asnumpy(), out[1].asnumpy()
        self._ran.add((kind, rows, heads))
        seconds = time.perf_counter() - started if known else None
        return Scored(verified[0], verified[1], logprobs, out[2] if scores else None, seconds)

    def logits(self, plan: StepPlan, rows: int) -> np.ndarray:
        """Raw logits of every row of a plan, float32 [rows of the plan, vocab]."""
        plan.moves, self._moves = self._moves, []
        rows = row_bucket(max(rows, len(plan.moves)))
        take = np.arange(rows, dtype=np.int32)
        out = self._graph(None)(ms.Tensor(plan.row_matrix(rows)), ms.Tensor(take))
        return out.asnumpy()[: len(plan.rows)]

    def _forget_graphs(self) -> None:
        """What is compiled holds the old pool or adapters."""
        self._model = None
        self._graphs.clear()
        self._ran.clear()

    def _network(self) -> CausalLM:
        if self._model is None:
            assert self._pool is not None, "reserve first"
            self._model = CausalLM(self.config, self._weights, self._bank, self._pool.caches, self._backend)
        return self._model

    def _graph(self, kind: GraphKind | None) -> Callable[..., Any]:
        """The step of a kind (None for bare logits), compiled in graph mode once per shape."""
        if kind not in self._graphs:
            model = self._network()
            cell = model if kind is None else ScoreStep(model, kind.contrast, kind.scores, self._backend)
            self._graphs[kind] = compiled(cell)
        return self._graphs[kind]


def compiled(cell: ms.nn.Cell) -> Callable[..., Any]:
    """A Cell as a compiled function, whatever mode the surrounding program runs in.

    A direct call of a Cell would walk its whole tree in Python at every step.
    """
    cell.set_train(False)

    def step(*arguments):
        return cell(*arguments)

    step.__name__ = f"step_{next(_NUMBERS)}"  # MindSpore warns of functions of one name that are compiled again
    return ms.jit(step)
