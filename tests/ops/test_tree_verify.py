"""tree_verify: every body against the contract, and the contract against a walk down the tree."""

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.ops import tree_verify

HEADS = 16


def forest(seed, count=HEADS, vocab=3):
    """Random trees over some heads, siblings different, and a choice at each; the rest is padding."""
    rng = np.random.default_rng(seed)
    tokens, parents = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    taken = set()
    for i in range(1, int(rng.integers(1, count + 1))):
        parent, token = int(rng.integers(-1, i)), int(rng.integers(vocab))
        if parent >= 0 and (parent, token) not in taken:
            taken.add((parent, token))
            parents[i], tokens[i] = parent, token
    return rng.integers(0, vocab, count).astype(np.int32), tokens, parents


def walk(chosen, tokens, parents, root):
    """The accepted path below a head, one node after the other."""
    path, head = [], root
    while True:
        child = [i for i in range(len(chosen)) if parents[i] == head and tokens[i] == chosen[head]]
        if not child:
            return path
        head = child[0]
        path.append(head)


@given(st.integers(0, 10**6), st.integers(1, 24), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_the_contract_is_a_walk_down_the_tree(seed, count, vocab):
    chosen, tokens, parents = forest(seed, count, vocab)
    choice, follow, last, length = tree_verify.reference(chosen, tokens, parents)
    for head in range(count):
        path = walk(chosen, tokens, parents, head)
        assert choice[head] == chosen[head]
        assert follow[head] == (path[0] if path else -1)
        assert last[head] == (path[-1] if path else head)
        assert length[head] == len(path)


def chain(count, come_true):
    """One path of which the first nodes come true."""
    chosen = np.arange(1, count + 1, dtype=np.int32)
    tokens, parents = np.r_[-1, chosen[:-1]].astype(np.int32), np.arange(-1, count - 1, dtype=np.int32)
    chosen[come_true:] = 0
    return chosen, tokens, parents


CASES = {f"forest {seed}": forest(seed) for seed in range(12)}
CASES |= {f"chain {n}": chain(HEADS, n) for n in (0, 1, 7, 15)}
CASES["only roots"] = (np.arange(HEADS, dtype=np.int32), *np.full((2, HEADS), -1, np.int32))
CASES["twins: the first counts"] = (
    np.full(HEADS, 5, np.int32),
    np.r_[-1, np.full(HEADS - 1, 5)].astype(np.int32),
    np.r_[-1, np.zeros(HEADS - 1)].astype(np.int32),
)
CASES["64 heads"] = forest(99, 64, 2)


@pytest.mark.parametrize("backend", ["aot", "builtin"])
@pytest.mark.parametrize("case", CASES)
def test_bodies(backend, case):
    if tree_verify.available()[backend]:
        pytest.skip(tree_verify.available()[backend])
    body = tree_verify.body(backend)

    def step(chosen, tokens, parents):
        return body(chosen, tokens, parents)

    out = ms.jit(step)(*[ms.Tensor(item) for item in CASES[case]]).asnumpy()
    assert np.array_equal(out, tree_verify.reference(*CASES[case]))
