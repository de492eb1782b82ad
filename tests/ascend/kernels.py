"""Stand-ins of the Triton kernels: launched as they are, they write what the contracts say into the same arrays."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np

from mindcold.ops.contrastive_score import reference as contrastive_score
from mindcold.ops.tree_verify import reference as tree_verify
from mindcold.ops.trigram_draft.table import Table, find


def put(target, value):
    """Write an array into a tensor, of its own shape and dtype."""
    assert tuple(target.shape) == value.shape, (target.shape, value.shape)
    target.assign_value(ms.Tensor(value.astype(target.asnumpy().dtype)))


def score(grid, expert, base, log_alpha, beta, allowed, scores, token, logprob, maxima, vocab, *, MASKED, BLOCK):
    """contrastive_score."""
    inputs = [item.asnumpy() for item in (expert, base, log_alpha, beta)]
    assert grid == (len(inputs[0]),) and inputs[0].shape[1] == vocab and allowed.dtype == ms.int8
    weights = np.stack((np.exp(inputs[2]), inputs[3]), 1)
    out = contrastive_score(*inputs[:2], weights, allowed.asnumpy() if MASKED else None)
    for target, value in zip((scores, token, logprob), out, strict=True):
        put(target, value)
    tiles = -(-vocab // BLOCK)
    padded = np.full((len(out[0]), tiles * BLOCK), -np.inf, np.float32)
    padded[:, :vocab] = out[0]
    put(maxima, padded.reshape(-1, tiles, BLOCK).max(2))


def best(grid, scores, maxima, logprob, tokens, logprobs, vocab, count, *, TILES, BLOCK):
    """best_tokens."""
    values = scores.asnumpy()
    assert grid == (len(values),) and maxima.shape[1] <= TILES and TILES & (TILES - 1) == 0
    plain = np.tile(np.float32([0, 0]), (len(values), 1))
    *_, found, logs = contrastive_score(values, values, plain, best=count)
    put(tokens, found)
    put(logprobs, logs)


def verify(grid, chosen, tokens, parents, accepted, heads, *, BLOCK):
    """tree_verify."""
    assert grid == (heads,)
    put(accepted, tree_verify(*(item.asnumpy() for item in (chosen, tokens, parents))))


def commit(grid, cache, source, target, slots, width, moves, *, BLOCK):
    """kv_commit, over one cache."""
    values = cache.asnumpy().reshape(slots, width).copy()
    assert grid == (1, -(-width // BLOCK)) and len(source) == len(target) == moves
    for s, t in zip(source.asnumpy(), target.asnumpy(), strict=True):
        if s >= 0:
            values[t] = values[s]
    put(cache, values.reshape(cache.shape))


def shrink(grid, x, a, adapter, middle, inputs, rank, *, RANKS, WIDTH):
    """lora_shrink."""
    x, a, adapter = (item.asnumpy() for item in (x, a, adapter))
    assert grid == (len(x), rank // RANKS) and rank % RANKS == 0 and a.shape[1:] == (rank, inputs)
    put(middle, np.stack([a[n] @ row if n >= 0 else np.zeros(rank) for row, n in zip(x, adapter, strict=True)]))


def expand(grid, middle, b, adapter, y, first, outputs, width, rank, *, BLOCK):
    """lora_expand."""
    middle, b, adapter, values = (item.asnumpy() for item in (middle, b, adapter, y))
    assert grid == (len(middle), -(-outputs // BLOCK)) and b.shape[1:] == (rank, outputs) and values.shape[1] == width
    values = values.copy()
    for row, number in enumerate(adapter):
        if number >= 0:
            values[row, first : first + outputs] += middle[row] @ b[number]
    put(y, values)


def lookup(
    grid,
    first,
    second,
    keys,
    tokens,
    weights,
    place,
    found_tokens,
    found_weights,
    buckets,
    *,
    WAYS,
    SUCCESSORS,
    LANES,
):
    """trigram_lookup."""
    table = Table(*(item.asnumpy() for item in (keys, tokens, weights)), np.zeros(0))
    assert grid == (len(first),) and table.tokens.shape == (buckets, WAYS, SUCCESSORS)
    places = [find(table, (int(a), int(b))) for a, b in zip(first.asnumpy(), second.asnumpy(), strict=True)]
    put(place, np.array([-1 if item is None else item[0] * WAYS + item[1] for item in places]))
    none = np.full(SUCCESSORS, -1), np.zeros(SUCCESSORS)
    put(found_tokens, np.stack([none[0] if item is None else table.tokens[item] for item in places]))
    put(found_weights, np.stack([none[1] if item is None else table.weights[item] for item in places]))


KERNELS = {
    "contrastive_score": score,
    "best_tokens": best,
    "tree_verify": verify,
    "kv_commit": commit,
    "lora_shrink": shrink,
    "lora_expand": expand,
    "trigram_lookup": lookup,
}


class Launch:
    """kernel[grid](*arguments, **constants)."""

    def __init__(self, function):
        self.function, self.count = function, 0

    def __getitem__(self, grid):
        self.count += 1
        return lambda *arguments, **constants: self.function(grid, *arguments, **constants)


def launches(monkeypatch):
    """The launcher's kernels replaced by these; gives them by name, with the times each was launched."""
    from mindcold.ops import launcher

    made = {name: Launch(function) for name, function in KERNELS.items()}
    monkeypatch.setattr(launcher, "kernel", lambda operator, name: made[name])
    tiles = SimpleNamespace(BLOCK=32, RANKS=8, WIDTH=512, LANES=16)
    monkeypatch.setattr(launcher, "constants", lambda operator: tiles)
    return made
