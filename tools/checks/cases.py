"""One case of each operator, of the size of a small model's step: a call that gives arrays, and what they should be."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from mindcold.ops import contrastive_score, lora_linear, registry, rope, swiglu, tree_attention, tree_verify
from mindcold.ops.lora_linear.reference import LowRank
from mindcold.ops.rows import LINES, Row
from mindcold.ops.tree_attention import cache_dtype

ROWS, VOCAB, HIDDEN, INNER, HEADS, KV_HEADS, SIZE, SLOTS = 16, 49152, 576, 1536, 9, 3, 64, 1024

Case = tuple[Callable[[], list[np.ndarray]], list[np.ndarray]]


def random(*shape: int) -> np.ndarray:
    """Numbers of deviation 1, the same in every run."""
    return np.random.default_rng(shape[-1]).standard_normal(shape).astype(np.float32)


def called(operator: str, body: str, cell: Any, *inputs: Any, only: slice = slice(None)) -> Callable[[], Any]:
    """A call of a body, as the engine calls it: as a graph, or by itself where it cannot be part of one."""
    found = next(item for item in registry.get(operator).bodies if item.name == body)

    def step(*arguments):
        return cell(*arguments)

    function = ms.jit(step) if found.in_graph else step

    def call() -> list[np.ndarray]:
        out = function(*inputs)
        out = out if isinstance(out, tuple) else (out,)
        return [item.astype(ms.float32).asnumpy() if item.dtype == ms.bfloat16 else item.asnumpy() for item in out]

    return lambda: call()[only]


def scores(body: str, best: int = 0) -> Case:
    """contrastive_score, on request with the best tokens."""
    expert, base = 3 * random(ROWS, VOCAB), 3 * random(ROWS, VOCAB)
    weights = np.tile(np.array([0.1, 0.5], np.float32), (ROWS, 1))
    cell = contrastive_score.body(body, best=best)
    return called("contrastive_score", body, cell, *map(ms.Tensor, (expert, base, weights))), list(
        contrastive_score.reference(expert, base, weights, best=best)
    )


def verified(body: str) -> Case:
    """tree_verify."""
    rng = np.random.default_rng(0)
    parents = np.array([rng.integers(-1, i) if i else -1 for i in range(64)], np.int32)
    chosen, tokens = rng.integers(0, 3, (2, 64)).astype(np.int32)
    cell = tree_verify.body(body)
    return called("tree_verify", body, cell, *map(ms.Tensor, (chosen, tokens, parents))), [
        tree_verify.reference(chosen, tokens, parents)
    ]


def linear(body: str) -> Case:
    """lora_linear with two adapters of rank 16."""
    value, x, residual = random(INNER, HIDDEN) / 24, random(ROWS, HIDDEN), random(ROWS, INNER)
    pairs = [LowRank(n, 0, random(16, HIDDEN) / 24, random(INNER, 16) / 4) for n in range(2)]
    adapter = (np.arange(ROWS) % 3 - 1).astype(np.int32)
    weight = lora_linear.choose(body).make("check", value.shape, "float32")
    weight.put(0, value)
    weight.freeze()
    cell = weight.linear(None, pairs, np.ones(HIDDEN, np.float32), 1e-5)
    return called("lora_linear", body, cell, *map(ms.Tensor, (x, adapter, residual))), [
        lora_linear.reference(x, value, None, pairs, adapter, residual, np.ones(HIDDEN, np.float32), 1e-5)
    ]


def gated(body: str) -> Case:
    """swiglu."""
    x, adapter = random(ROWS, 2 * INNER), np.zeros(ROWS, np.int32)
    return called("swiglu", body, swiglu.body(body), ms.Tensor(x), ms.Tensor(adapter)), [swiglu.reference(x, adapter)]


def rotated(body: str) -> Case:
    """rope."""
    qkv, angle = random(ROWS, (HEADS + 2 * KV_HEADS) * SIZE), random(ROWS, SIZE // 2)
    cos, sin, adapter = np.cos(angle), np.sin(angle), np.zeros(ROWS, np.int32)
    cell = rope.body(body, num_heads=HEADS, num_kv_heads=KV_HEADS, head_dim=SIZE)
    inputs = qkv, cos[:, None], sin[:, None], adapter
    return called("rope", body, cell, *map(ms.Tensor, inputs)), list(
        rope.reference(qkv, cos, sin, adapter, HEADS, KV_HEADS)
    )


class Attending(nn.Cell):
    """The attention with caches of its own, as a layer has them."""

    def __init__(self, body: str, keys: np.ndarray, values: np.ndarray):
        super().__init__(auto_prefix=False)
        self.attend = tree_attention.body(body, num_heads=HEADS, num_kv_heads=KV_HEADS, head_dim=SIZE)
        dtype = cache_dtype("float32", body)
        self.keys = ms.Parameter(ms.Tensor(keys, dtype), name="check.keys", requires_grad=False)
        self.values = ms.Parameter(ms.Tensor(values, dtype), name="check.values", requires_grad=False)
        self.prepare = self.attend.prepare

    def construct(self, q, k, v, rows):
        return self.attend(q, k, v, self.keys, self.values, rows, self.prepare(rows, SLOTS))


def attended(body: str) -> Case:
    """tree_attention: a draft tree after 200 committed tokens of one sequence."""
    q, k, v = random(ROWS, HEADS, SIZE), random(ROWS, KV_HEADS, SIZE), random(ROWS, KV_HEADS, SIZE)
    keys, values = random(SLOTS, KV_HEADS, SIZE), random(SLOTS, KV_HEADS, SIZE)[::-1].copy()
    rows = np.full((LINES, ROWS), -1, np.int32)
    rows[Row.SEGMENT], rows[Row.SLOT] = 0, 200 + np.arange(ROWS)
    rows[Row.PARENT] = [-1] + [(i - 1) // 2 for i in range(1, ROWS)]
    rows[Row.POSITION] = 200
    for i in range(1, ROWS):
        rows[Row.POSITION, i] = rows[Row.POSITION, rows[Row.PARENT, i]] + 1
    rows[Row.SEGMENT_START : Row.SEGMENT_PARENT, 0] = 0
    call = called("tree_attention", body, Attending(body, keys, values), *map(ms.Tensor, (q, k, v, rows)))
    return call, [tree_attention.reference(q, k, v, keys.copy(), values.copy(), rows)]


CASES: dict[str, Callable[[str], Case]] = {
    "contrastive_score": scores,
    "contrastive_score, 4 best": partial(scores, best=4),
    "tree_verify": verified,
    "lora_linear": linear,
    "swiglu": gated,
    "rope": rotated,
    "tree_attention": attended,
}


def launched() -> dict[str, tuple[str | None, Callable[[], Case]]]:
    """The kernels that have no place in the engine's step: why they cannot run here, and their cases."""
    triton = next(body for body in contrastive_score.bodies if body.name == "triton")
    reason = triton.unavailable_reason()
    return {
        "lora_linear, triton shrink and expand": (reason, low_rank),
        "tree_attention, triton moves": (reason, moves),
        "trigram_draft, triton lookup": (reason, looked_up),
    }


def low_rank() -> Case:
    """lora_shrink and lora_expand: two adapters of rank 16, some rows without one."""
    from mindcold.ops.lora_linear.npu import add_low_rank

    x, a, b = random(ROWS, HIDDEN), random(2, 16, HIDDEN) / 24, random(2, 16, INNER) / 4
    adapter = (np.arange(ROWS) % 3 - 1).astype(np.int32)
    inputs = [ms.Tensor(item) for item in (x, a, b, adapter)]

    def call() -> list[np.ndarray]:
        y = ms.Tensor(np.zeros((ROWS, INNER), np.float32))
        add_low_rank(*inputs, y)
        return [y.asnumpy()]

    wanted = [x[i] @ a[n].T @ b[n] if n >= 0 else np.zeros(INNER, np.float32) for i, n in enumerate(adapter)]
    return call, [np.stack(wanted)]


def moves() -> Case:
    """kv_commit of eight slots in one cache."""
    from mindcold.ops.tree_attention.npu import commit

    cache = random(SLOTS, KV_HEADS, SIZE)
    source = np.arange(100, 116, 2).astype(np.int32)
    target, tensor = np.arange(100, 108).astype(np.int32), ms.Parameter(ms.Tensor(cache), name="check.cache")
    wanted = cache.copy()
    wanted[target] = cache[source]

    def call() -> list[np.ndarray]:
        tensor.assign_value(ms.Tensor(cache))
        commit([tensor], source, target)
        return [tensor.asnumpy()]

    return call, [wanted]


def looked_up() -> Case:
    """trigram_lookup of 64 contexts, half of them known."""
    from mindcold.ops.trigram_draft import Table, update
    from mindcold.ops.trigram_draft.npu import DeviceTable, lookup
    from mindcold.ops.trigram_draft.table import SUCCESSORS, WAYS, find

    ids = np.random.default_rng(0).integers(0, 40, 400).tolist()
    table = Table.empty(1024)
    update(table, ids, 0, 1.0, 100.0)
    contexts = np.array([*pairwise(ids[:33]), *((900 + i, i) for i in range(32))], np.int32)
    places = [find(table, (int(first), int(second))) for first, second in contexts]
    place = np.array([-1 if item is None else item[0] * WAYS + item[1] for item in places], np.int32)
    tokens, weights = np.full((64, SUCCESSORS), -1, np.int32), np.zeros((64, SUCCESSORS), np.float32)
    for i, item in enumerate(places):
        if item is not None:
            tokens[i], weights[i] = table.tokens[item], table.weights[item]
    on_device = DeviceTable.of(table)
    return lambda: [item.asnumpy() for item in lookup(on_device, contexts)], [place, tokens, weights]
