"""Run the AKG bodies over a grid and compare every call with the contract; a process of its own, for its own caches.

MS_COMPILER_CACHE_PATH=FOLDER python tests/ops/akg_grid.py
"""

import sys
import warnings

import mindspore as ms
import numpy as np

from mindcold.ops import contrastive_score, tree_verify
from tests.ops.test_contrastive_score import edge_case, random_case, random_mask
from tests.ops.test_tree_verify import CASES as TREES

GRID = ((1, 13), (3, 13), (1, 1001), (2, 1001), (16, 2048), (1, 32000), (5, 32000), (1, 151936), (2, 151936))
EDGES = ("ties", "minus infinity", "all forbidden", "extremes", "base -inf")
REPEATS = 5  # a race does not show in every call


def cases(rows, vocab):
    """Inputs of one shape: random ones under every alpha and beta, ties over lanes, and the edges at 3 x 257."""
    for seed in range(3):
        yield random_case(rows, vocab, seed)
    expert, base, alpha_beta = random_case(rows, vocab)
    yield expert, base, alpha_beta, random_mask(rows, vocab)
    yield expert, np.full_like(base, np.nan), alpha_beta * np.float32([1, 0])  # a base that may not be read
    yield np.zeros_like(expert), np.zeros_like(base), alpha_beta
    expert[:, [vocab // 3, vocab // 2, vocab - 1]] = base[:, [vocab // 3, vocab // 2, vocab - 1]] = 40.0
    yield expert, base, alpha_beta
    expert[:, ::2] = -np.inf
    yield expert, base, alpha_beta


def edges():
    for name in EDGES:
        for setting in ((0.1, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 2.0), (0.001, 0.5), (0.5, 0.0)):
            expert, base, alpha_beta = edge_case(name)
            alpha_beta[:] = setting
            yield expert, base, alpha_beta
            yield expert, base, alpha_beta, random_mask(*expert.shape)


def compare(graph, inputs):
    """None, or what is wrong with one of the repeated calls."""
    scores, token, logprob = contrastive_score.reference(*inputs)
    for _ in range(REPEATS):
        out = [item.asnumpy() for item in graph(*[ms.Tensor(item) for item in inputs])]
        if not np.array_equal(out[1], token):
            return f"token {out[1]} for {token}"
        if not np.allclose(out[0], scores, rtol=1e-6, atol=1e-6):
            return "scores"
        if not np.allclose(out[2], logprob, rtol=1e-4, atol=1e-4):
            return f"logprob {out[2]} for {logprob}"
    return None


def differs(operator, inputs):
    """None, or which of the repeated calls of an exact operator is not its contract."""
    body, expected = operator.body("akg"), operator.reference(*inputs)

    def step(*arguments):
        return body(*arguments)

    graph = ms.jit(step)
    for i in range(REPEATS):
        if not np.array_equal(graph(*[ms.Tensor(item) for item in inputs]).asnumpy(), expected):
            return f"call {i}"
    return None


def main():
    warnings.simplefilter("ignore", RuntimeWarning)  # AKG infers shapes by running the kernels on zeros
    body, wrong, count = contrastive_score.body("akg"), [], 0

    def step(expert, base, alpha_beta, allowed=None):
        return body(expert, base, alpha_beta, allowed)

    graph = ms.jit(step)
    for shape in GRID:
        for i, inputs in enumerate(cases(*shape)):
            count += 1
            fault = compare(graph, inputs)
            wrong += [f"{shape} case {i}: {fault}"] if fault else []
    for i, inputs in enumerate(edges()):
        count += 1
        fault = compare(graph, inputs)
        wrong += [f"edge {i}: {fault}"] if fault else []
    for name, inputs in TREES.items():
        count += 1
        fault = differs(tree_verify, inputs)
        wrong += [f"tree_verify {name}: {fault}"] if fault else []
    print("\n".join([*wrong, f"{count} inputs, {REPEATS} calls each, {len(wrong)} wrong"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
