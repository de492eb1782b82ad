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
    """The accepted path below a head: down the trie of draft tokens for as long as the choice is in it."""
    children = {}
    for i, key in reversed(list(enumerate(zip(parents.tolist(), tokens.tolist(), strict=True)))):
        children[key] = i
    path, head = [], root
    while (head, int(chosen[head])) in children:
        head = children[head, int(chosen[head])]
        path.append(head)
    return path


@given(st.integers(0, 10**6), st.integers(1, 24), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_children_make_the_accepted_path(seed, count, vocab):
    chosen, tokens, parents = forest(seed, count, vocab)
    accepted = tree_verify.reference(chosen, tokens, parents)
    for root in np.flatnonzero(parents < 0):
        path, head = [], root
        while accepted[head] >= 0:
            head = accepted[head]
            path.append(head)
        assert path == walk(chosen, tokens, parents, root)
    for head in np.flatnonzero(accepted >= 0):
        child = accepted[head]
        assert parents[child] == head and tokens[child] == chosen[head]


def chain(count, accepted):
    """One path of which the first nodes are accepted."""
    chosen = np.arange(1, count + 1, dtype=np.int32)
    tokens, parents = np.r_[-1, chosen[:-1]].astype(np.int32), np.arange(-1, count - 1, dtype=np.int32)
    chosen[accepted:] = 0
    return chosen, tokens, parents


def test_by_hand():
    chosen, tokens = np.array([5, 7, 1, 9, 0], np.int32), np.array([-1, 4, 5, 5, 1], np.int32)
    parents = np.array([-1, 0, 0, 0, 2], np.int32)
    assert tree_verify.reference(chosen, tokens, parents).tolist() == [2, -1, 4, -1, -1]


CASES = {f"forest {seed}": forest(seed) for seed in range(12)}
CASES |= {f"chain {n}": chain(HEADS, n) for n in (0, 1, 7, 15)}
CASES["one head"] = chain(1, 1)
CASES["only roots"] = (np.arange(HEADS, dtype=np.int32), *np.full((2, HEADS), -1, np.int32))
CASES["twins: the first counts"] = (
    np.full(HEADS, 5, np.int32),
    np.r_[-1, np.full(HEADS - 1, 5)].astype(np.int32),
    np.r_[-1, np.zeros(HEADS - 1)].astype(np.int32),
)
CASES["300 heads"] = forest(99, 300, 2)


@pytest.mark.parametrize("backend", ["aot", "builtin"])
@pytest.mark.parametrize("case", CASES)
def test_bodies(backend, case):
    body = tree_verify.body(backend)

    def step(chosen, tokens, parents):
        return body(chosen, tokens, parents)

    out = ms.jit(step)(*[ms.Tensor(item) for item in CASES[case]]).asnumpy()
    assert out.dtype == np.int32 and np.array_equal(out, tree_verify.reference(*CASES[case]))
