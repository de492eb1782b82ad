"""tree_attention: every body against the contract, over chains, trees, shared prefixes, windows and padding."""

import mindspore as ms
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import nn

from mindcold.ops import tree_attention
from mindcold.ops.rows import LINES, MAX_DEPTH, Row

BODIES = ["aot", "builtin"]
SLOTS = 96


def matrix_of(rows, segments, count):
    """The row matrix int32 [11, count] of (token, segment, position, slot, parent, adapter) and a segment table."""
    matrix = np.full((LINES, count), -1, np.int32)
    matrix[Row.SEGMENT_START : Row.SEGMENT_PARENT + 1, : len(segments)] = np.array(segments, np.int32).T
    matrix[: Row.ADAPTER + 1] = np.array(rows + [(0, -1, 0, 0, -1, -2)] * (count - len(rows)), np.int32).T
    return matrix


def tree_rows(rows, segment, committed, parents, slot):
    """Append a draft tree after `committed` tokens, its rows in consecutive slots; parents are relative to it."""
    base = len(rows)
    for i, parent in enumerate(parents):
        position = committed if parent < 0 else rows[base + parent][2] + 1
        rows.append((0, segment, position, slot + i, parent + base if parent >= 0 else -1, -1))


def make_rows(spec, count):
    """Rows of (start, committed, parents) sequences of one segment each, padded."""
    rows = []
    for number, (start, committed, parents) in enumerate(spec):
        tree_rows(rows, number, committed, parents, start + committed)
    return matrix_of(rows, [(start, 0, -1) for start, *_ in spec], count)


def forest(seed, count=16):
    """Random trees of segments with a draft tree after some of them, in random places of the pool."""
    rng = np.random.default_rng(seed)
    rows, table, held, depth, slots = [], [], [], [], []
    for number in range(int(rng.integers(1, 9))):
        parent = int(rng.integers(-1, number))
        if parent >= 0 and depth[parent] == MAX_DEPTH:
            parent = -1
        first = int(rng.integers(table[parent][1], table[parent][1] + held[parent] + 1)) if parent >= 0 else 0
        table.append((0, first, parent))
        depth.append(depth[parent] + 1 if parent >= 0 else 1)
        held.append(int(rng.integers(0, 6)))
        size = int(rng.integers(0, min(5, count - len(rows)) + 1))
        parents = [int(rng.integers(-1, i)) if i else -1 for i in range(size)]
        tree_rows(rows, number, first + held[-1], parents, held[-1])
        slots.append(held[-1] + size)
    places = np.zeros(len(table), int)
    order = rng.permutation(len(table))
    places[order] = np.cumsum([0, *(slots[i] for i in order[:-1])]) + int(rng.integers(0, 8))
    table = [(int(place), first, parent) for place, (_, first, parent) in zip(places, table, strict=True)]
    rows = [(t, g, p, int(slot + places[g]), parent, a) for t, g, p, slot, parent, a in rows]
    return matrix_of(rows, table, count)


def plain_attention(q, k_cache, v_cache, rows, window):
    """The contract written down once more, from the root of the segments to the row."""

    def history(segment):
        """(position, slot) of a sequence as far as its last segment could hold."""
        if segment < 0:
            return []
        start, first, parent = rows[Row.SEGMENT_START :, segment]
        return history(parent)[:first] + [(first + i, start + i) for i in range(SLOTS - start)]

    def path(row):
        return ([] if rows[Row.PARENT, row] < 0 else path(rows[Row.PARENT, row])) + [row]

    out = np.zeros_like(q)
    for row in np.flatnonzero(rows[Row.SEGMENT] >= 0):
        way, here = path(row), rows[Row.POSITION, row]
        seen = history(rows[Row.SEGMENT, row])[: rows[Row.POSITION, way[0]]]
        seen += [(rows[Row.POSITION, i], rows[Row.SLOT, i]) for i in way]
        assert [p for p, _ in seen] == list(range(here + 1))
        slots = [slot for p, slot in seen if not window or p > here - window]
        groups = q.shape[1] // k_cache.shape[1]
        keys, values = (np.repeat(cache[slots], groups, axis=1).astype(np.float64) for cache in (k_cache, v_cache))
        scores = np.einsum("hd,nhd->hn", q[row], keys) / np.sqrt(q.shape[2])
        weights = np.exp(scores - scores.max(1, keepdims=True))
        out[row] = np.einsum("hn,nhd->hd", weights / weights.sum(1, keepdims=True), values)
    return out


def chain(length):
    return list(range(-1, length - 1))


SPECS = {
    "one row": ([(3, 0, [-1])], 1),
    "decode": ([(0, 17, [-1]), (40, 5, [-1])], 2),
    "padded": ([(0, 9, [-1]), (30, 1, chain(3))], 8),
    "prefill": ([(2, 0, chain(40))], 64),
    "chunk after commit": ([(2, 11, chain(13)), (60, 0, chain(7))], 32),
    "tree": ([(0, 12, [-1, 0, 0, 1, 1, 2, 5]), (50, 3, [-1, 0, 1, 0])], 16),
    "two roots": ([(10, 6, [-1, -1, 0, 1])], 4),
}


def test_caches_in_bfloat16_hold_rounded_keys_and_values():
    """Every spec with C++: what is written is rounded, what is read is what the caches hold."""
    shape = (4, 2, 16)
    for spec, count in SPECS.values():
        rng = np.random.default_rng(2)
        rows, inputs = make_rows(spec, count), random_inputs(rng, count, shape)
        cache = [item.astype(ml_dtypes.bfloat16) for item in random_cache(rng, shape)]
        held = [item.copy() for item in cache]
        expected = tree_attention.reference(*inputs, *held, rows)
        assert held[0].dtype == ml_dtypes.bfloat16
        cell = Layered("aot", shape, [item.astype(np.float32) for item in cache], 0, dtype=ms.bfloat16)
        np.testing.assert_allclose(compiled(cell)(*inputs, rows), expected, atol=2e-6)
        for found, side in zip((cell.k_caches, cell.v_caches), held, strict=True):
            np.testing.assert_array_equal(found[0].float().asnumpy(), side.astype(np.float32))


class Layered(nn.Cell):
    """A body with its caches as Parameters, as the model uses it."""

    def __init__(self, backend, shape, cache, window, layers=1, dtype=ms.float32):
        super().__init__(auto_prefix=False)
        heads, kv_heads, size = shape
        self.bodies = nn.CellList(
            [
                tree_attention.body(backend, num_heads=heads, num_kv_heads=kv_heads, head_dim=size, window=window)
                for _ in range(layers)
            ],
            auto_prefix=False,
        )
        self.k_caches = ms.ParameterTuple(
            [ms.Parameter(ms.Tensor(cache[0], dtype), name=f"k{i}") for i in range(layers)]
        )
        self.v_caches = ms.ParameterTuple(
            [ms.Parameter(ms.Tensor(cache[1], dtype), name=f"v{i}") for i in range(layers)]
        )
        self.prepare = self.bodies[0].prepare

    def construct(self, q, k, v, rows):
        context = self.prepare(rows, SLOTS)
        for i in range(len(self.bodies)):
            q = self.bodies[i](q, k, v, self.k_caches[i], self.v_caches[i], rows, context)
        return q


def compiled(cell):
    def step(q, k, v, rows):
        return cell(q, k, v, rows)

    graph = ms.jit(step)
    return lambda *arrays: graph(*[ms.Tensor(item) for item in arrays]).asnumpy()


def random_inputs(rng, count, shape):
    heads, kv_heads, size = shape
    q = rng.standard_normal((count, heads, size)).astype(np.float32)
    k, v = (rng.standard_normal((count, kv_heads, size)).astype(np.float32) for _ in range(2))
    return q, k, v


def random_cache(rng, shape):
    return [rng.standard_normal((SLOTS, shape[1], shape[2])).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("window", [0, 6])
@pytest.mark.parametrize("name", SPECS)
def test_bodies_equal_the_reference(backend, window, name):
    shapes = [(4, 4, 16), (7, 1, 32), (4, 2, 10)] if backend == "aot" else [(4, 2, 16)]
    for shape in shapes:
        rng = np.random.default_rng(0)
        spec, count = SPECS[name]
        rows, cache, inputs = make_rows(spec, count), random_cache(rng, shape), random_inputs(rng, count, shape)
        cell = Layered(backend, shape, cache, window)
        expected = tree_attention.reference(*inputs, *cache, rows, window)
        np.testing.assert_allclose(compiled(cell)(*inputs, rows), expected, rtol=2e-5, atol=2e-6)
        # the caches hold the new rows, in place; the last slot is nobody's
        np.testing.assert_array_equal(cell.k_caches[0].asnumpy()[:-1], cache[0][:-1])
        np.testing.assert_array_equal(cell.v_caches[0].asnumpy()[:-1], cache[1][:-1])


@pytest.mark.parametrize("backend", BODIES)
def test_moves_come_before_everything_else(backend):
    rng, shape = np.random.default_rng(6), (4, 2, 16)
    rows, cache, inputs = (
        make_rows([(0, 9, [-1]), (30, 5, [-1, 0])], 16),
        random_cache(rng, shape),
        random_inputs(rng, 16, shape),
    )
    rows[Row.SOURCE : Row.TARGET + 1, :4] = [
        [8, 12, 33, 40],
        [7, 8, 32, 33],
    ]  # 12 goes where 8 was, after that was moved
    cell = Layered(backend, shape, [item.copy() for item in cache], 0)
    moved = [item[[8, 12, 33, 40]].copy() for item in cache]
    expected = tree_attention.reference(*inputs, *cache, rows)
    np.testing.assert_array_equal(cache[0][[7, 8, 32, 33]], moved[0])
    np.testing.assert_allclose(compiled(cell)(*inputs, rows)[:3], expected[:3], rtol=2e-5, atol=2e-6)
    np.testing.assert_array_equal(cell.k_caches[0].asnumpy()[:-1], cache[0][:-1])
    np.testing.assert_array_equal(cell.v_caches[0].asnumpy()[:-1], cache[1][:-1])


@pytest.mark.parametrize("size", [2, 64, 128])
def test_head_sizes(size):
    rng, shape = np.random.default_rng(1), (4, 2, size)
    rows, cache, inputs = make_rows(*SPECS["tree"]), random_cache(rng, shape), random_inputs(rng, 16, shape)
    out = compiled(Layered("aot", shape, cache, 0))(*inputs, rows)
    np.testing.assert_allclose(out, tree_attention.reference(*inputs, *cache, rows), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("backend", BODIES)
def test_two_layers_with_own_caches_over_many_steps(backend):
    shape, steps = (4, 2, 8), 40
    rng = np.random.default_rng(2)
    zeros = [np.zeros((SLOTS, 2, 8), np.float32) for _ in range(2)]
    step = compiled(Layered(backend, shape, zeros, 0, layers=2))
    caches = [[item.copy() for item in zeros] for _ in range(2)]
    for i in range(steps):
        q, k, v = random_inputs(rng, 1, shape)
        rows = make_rows([(5, i, [-1])], 1)
        expected = tree_attention.reference(q, k, v, *caches[0], rows)
        expected = tree_attention.reference(expected, k, v, *caches[1], rows)
        np.testing.assert_allclose(step(q, k, v, rows), expected, rtol=1e-4, atol=1e-5)


def test_a_row_does_not_depend_on_the_others_of_the_step():
    shape, rng = (4, 2, 16), np.random.default_rng(3)
    cache = random_cache(rng, shape)
    q, k, v = random_inputs(rng, 40, shape)
    together = make_rows([(0, 9, chain(20)), (50, 3, chain(20))], 40)
    whole = compiled(Layered("aot", shape, [c.copy() for c in cache], 0))(q, k, v, together)
    alone = compiled(Layered("aot", shape, [c.copy() for c in cache], 0))
    for i in range(20):  # the first sequence row by row: to the bit
        rows = make_rows([(0, 9 + i, [-1])], 1)
        np.testing.assert_array_equal(alone(q[i : i + 1], k[i : i + 1], v[i : i + 1], rows)[0], whole[i])


@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3, 6]))
@settings(max_examples=150, deadline=None)
def test_the_contract_over_shared_prefixes(seed, window):
    shape, rng = (4, 2, 8), np.random.default_rng(seed)
    rows, cache, inputs = forest(seed), random_cache(rng, shape), random_inputs(rng, 16, shape)
    out = tree_attention.reference(*inputs, *cache, rows, window)
    np.testing.assert_allclose(out, plain_attention(inputs[0], *cache, rows, window), rtol=2e-5, atol=2e-6)


def test_forests_reach_what_they_are_for():
    tables = [forest(seed)[[Row.SEGMENT, Row.SEGMENT_PARENT, Row.SEGMENT_FIRST]] for seed in range(30)]
    assert any(len(set(parents[parents >= 0])) < (parents >= 0).sum() for _, parents, _ in tables)  # shared ones

    def depth(parents, segment):
        return 0 if segment < 0 else 1 + depth(parents, parents[segment])

    assert max(depth(parents, g) for segments, parents, _ in tables for g in segments) == MAX_DEPTH


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("window", [0, 4])
def test_bodies_over_shared_prefixes(backend, window):
    shape, rng = (4, 2, 16), np.random.default_rng(7)
    cache = random_cache(rng, shape)
    cell = Layered(backend, shape, [item.copy() for item in cache], window)
    step = compiled(cell)
    for seed in range(30):  # one after the other in the same caches
        rows, inputs = forest(seed), random_inputs(rng, 16, shape)
        expected = tree_attention.reference(*inputs, *cache, rows, window)
        np.testing.assert_allclose(step(*inputs, rows), expected, rtol=2e-5, atol=2e-6)
        np.testing.assert_array_equal(cell.k_caches[0].asnumpy()[:-1], cache[0][:-1])
        np.testing.assert_array_equal(cell.v_caches[0].asnumpy()[:-1], cache[1][:-1])


LAYOUTS = {"one": [0], "two": [0, 7], "four": [0, 3, 16, 20], "an empty one": [0, 9, 9, 20]}
"""Positions at which the segments of a sequence of 21 tokens begin."""


def laid_out(firsts, keys, values, rng):
    """Caches with the 21 keys and values in segments that begin at these positions, in random places; and the rows."""
    cache, table = random_cache(rng, (4, 2, 16)), []
    ends = [*firsts[1:], 21]
    places = rng.permutation(4) * 23
    for number, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        start = int(places[number])
        cache[0][start : start + end - first] = keys[first:end]
        cache[1][start : start + end - first] = values[first:end]
        table.append((start, first, number - 1))
    rows = []
    tree_rows(rows, len(table) - 1, 21, [-1, 0, 0, 1], table[-1][0] + 21 - firsts[-1])
    return cache, matrix_of(rows, table, 16)


@pytest.mark.parametrize("backend", [*BODIES, "reference"])
@pytest.mark.parametrize("window", [0, 13])
def test_a_result_does_not_depend_on_the_segments(backend, window):
    shape, rng = (4, 2, 16), np.random.default_rng(8)
    keys, values = (rng.standard_normal((21, 2, 16)).astype(np.float32) for _ in range(2))
    inputs, found = random_inputs(rng, 16, shape), {}
    for name, firsts in LAYOUTS.items():
        cache, rows = laid_out(firsts, keys, values, rng)
        if backend == "reference":
            found[name] = tree_attention.reference(*inputs, *cache, rows, window)
        else:
            found[name] = compiled(Layered(backend, shape, cache, window))(*inputs, rows)
        if backend == "builtin":  # it adds up in the order of the pool
            np.testing.assert_allclose(found[name], found["one"], rtol=2e-5, atol=2e-6)
        else:
            np.testing.assert_array_equal(found[name], found["one"])
    assert np.abs(found["one"][:4]).min() > 0 and not found["one"][4:].any()
