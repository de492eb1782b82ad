"""tree_attention: every body against the contract, over chains, trees, windows and padding."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcold.ops import tree_attention

BODIES = ["aot", "builtin"]
CELLS = 96


def make_rows(spec, count):
    """Rows int32 [8, count] of (start, committed, parents) sequences, padded; parents are relative to the sequence."""
    rows = []
    for start, committed, parents in spec:
        base = len(rows)
        for i, parent in enumerate(parents):
            position = committed if parent < 0 else rows[base + parent][2] + 1
            rows.append((0, start, position, start + committed + i, parent + base if parent >= 0 else -1, -1))
    assert len(rows) <= count
    matrix = np.full((8, count), -1, np.int32)
    matrix[:6] = np.array(rows + [(0, -1, 0, 0, -1, -1)] * (count - len(rows)), np.int32).T
    return matrix


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


class Layered(nn.Cell):
    """A body with its caches as Parameters, as the model uses it."""

    def __init__(self, backend, shape, cache, window, layers=1):
        super().__init__(auto_prefix=False)
        heads, kv_heads, size = shape
        self.bodies = nn.CellList(
            [
                tree_attention.body(backend, num_heads=heads, num_kv_heads=kv_heads, head_dim=size, window=window)
                for _ in range(layers)
            ],
            auto_prefix=False,
        )
        self.k_caches = ms.ParameterTuple([ms.Parameter(ms.Tensor(cache[0]), name=f"k{i}") for i in range(layers)])
        self.v_caches = ms.ParameterTuple([ms.Parameter(ms.Tensor(cache[1]), name=f"v{i}") for i in range(layers)])
        self.prepare = self.bodies[0].prepare

    def construct(self, q, k, v, rows):
        context = self.prepare(rows, CELLS)
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
    return [rng.standard_normal((CELLS, shape[1], shape[2])).astype(np.float32) for _ in range(2)]


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
        # the caches hold the new rows, in place; the last cell is nobody's
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
    rows[6:, :4] = [[8, 12, 33, 40], [7, 8, 32, 33]]  # 12 goes where 8 was, after that was moved
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
    zeros = [np.zeros((CELLS, 2, 8), np.float32) for _ in range(2)]
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
