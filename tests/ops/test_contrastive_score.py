"""contrastive_score: the contract by hand and by property, and every body against it."""

import functools

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mindcold.ops import contrastive_score

INF = np.inf
BODIES = ["aot", "builtin"]


def run(body, expert, base, alpha_beta):
    """The outputs of a body's Cell, run as a graph."""

    def step(expert, base, alpha_beta):
        return body(expert, base, alpha_beta)

    arguments = [ms.Tensor(np.asarray(item, np.float32)) for item in (expert, base, alpha_beta)]
    return [out.asnumpy() for out in ms.jit(step)(*arguments)]


def random_case(rows, vocab, seed=0):
    rng = np.random.default_rng(seed)
    expert = (3 * rng.standard_normal((rows, vocab))).astype(np.float32)
    base = (expert + rng.standard_normal((rows, vocab))).astype(np.float32)
    alpha_beta = np.stack([rng.choice([0.001, 0.1, 0.5, 1.0, 0.0], rows), rng.choice([0.0, 0.5, 1.0], rows)], 1)
    return expert, base, alpha_beta.astype(np.float32)


@pytest.mark.parametrize("backend", [*BODIES, "reference"])
@pytest.mark.parametrize(
    ("alpha", "beta", "scores", "token"),
    [
        (0.1, 0.0, [3, 2.5, 2, -INF], 0),
        (0.1, 0.5, [2.75, 3.25, 1.9, -INF], 1),
        (0.5, 0.5, [2.75, 3.25, -INF, -INF], 1),
        (1.0, 0.5, [2.75, -INF, -INF, -INF], 0),
        (0.001, 1.0, [2.5, 4.0, 1.8, 2.0], 1),
    ],
)
def test_vectors(backend, alpha, beta, scores, token):
    expert, base = [[3.0, 2.5, 2.0, -1.0]], [[3.5, 1.0, 2.2, -4.0]]
    arguments = [np.array(item, np.float32) for item in (expert, base, [[alpha, beta]])]
    if backend == "reference":
        out = contrastive_score.reference(*arguments)
    else:
        out = run(contrastive_score.body(backend), *arguments)
    np.testing.assert_allclose(out[0], [scores], rtol=1e-6)
    assert out[1].tolist() == [token]


def edge_case(name):
    expert, base, alpha_beta = random_case(3, 257)
    if name == "ties":
        expert[:] = 1.0
        base[:] = 1.0
        expert[1, 200] = expert[1, 37] = 2.0
    elif name == "minus infinity":
        expert[0, ::2] = -INF
        base[1, ::3] = -INF
        expert[2] = base[2] = -INF
        expert[2, 5] = 0.0
    elif name == "all forbidden":
        expert[:] = -INF
    elif name == "extremes":
        expert[0], base[1] = -3e38, 3e38
        expert[1, 7] = 3e38
        base[2, ::2] = -3e38
    elif name == "base -inf":
        base[:] = -INF
    return expert, base, alpha_beta


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("case", ["ties", "minus infinity", "all forbidden", "extremes", "base -inf"])
@pytest.mark.parametrize("setting", [(0.1, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 2.0), (0.001, 0.0)])
def test_edges(backend, case, setting):
    expert, base, alpha_beta = edge_case(case)
    alpha_beta[:] = setting
    check(run(body_of(backend), expert, base, alpha_beta), expert, base, alpha_beta, exact=backend == "aot")


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize(("rows", "vocab"), [(1, 1), (1, 13), (2, 1001), (16, 2048), (1, 151936), (5, 32000)])
def test_shapes(backend, rows, vocab):
    expert, base, alpha_beta = random_case(rows, vocab)
    body = body_of(backend)
    for _ in range(3):
        check(run(body, expert, base, alpha_beta), expert, base, alpha_beta, exact=backend == "aot")


@pytest.mark.parametrize("backend", BODIES)
def test_experts_and_amateurs_in_one_tensor_and_padding_anywhere(backend):
    expert, base, alpha_beta = random_case(5, 20011)
    body, real = body_of(backend), [0, 2, 4]
    alpha_beta[[1, 3]] = (-1, 0)
    expert[[1, 3]] = base[1] = np.nan

    def step(logits, alpha_beta):
        return body.stacked(logits, alpha_beta)

    out = ms.jit(step)(ms.Tensor(np.concatenate([expert, base])), ms.Tensor(alpha_beta))
    out = [item.asnumpy()[real] for item in out]
    check(out, expert[real], base[real], alpha_beta[real], exact=backend == "aot")


@functools.cache
def body_of(backend):
    return contrastive_score.body(backend)


def check(out, expert, base, alpha_beta, exact):
    scores, token, logprob = contrastive_score.reference(expert, base, alpha_beta)
    if exact:  # the C++ body does the contract's arithmetic to the bit
        np.testing.assert_array_equal(out[0], scores)
    else:
        np.testing.assert_allclose(out[0], scores, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[1], token)
    np.testing.assert_allclose(out[2], logprob, rtol=1e-5, atol=2e-6)


logits = arrays(np.float32, (2, 9), elements=st.floats(-50, 50, width=32))
strengths = st.tuples(st.floats(0.0078125, 1.0, width=32), st.floats(0, 4, width=32))


@given(logits, logits, strengths)
def test_reference_identities(expert, base, setting):
    alpha, beta = setting
    settings = np.array([[alpha, beta]] * 2, np.float32)
    plain = expert.argmax(1)
    np.testing.assert_array_equal(contrastive_score.reference(expert, base, settings * [1, 0])[1], plain)
    np.testing.assert_array_equal(contrastive_score.reference(expert, expert, settings)[1], plain)
    scores, token, logprob = contrastive_score.reference(expert, base, settings)
    np.testing.assert_array_equal(scores[np.arange(2), token], scores.max(1))
    kept = np.exp(expert - expert.max(1, keepdims=True)) >= alpha * (1 + 1e-5)
    assert (scores[kept] > -np.inf).all()
    assert (logprob <= 0).all()


@given(arrays(np.int64, (2, 9), elements=st.integers(-40, 40)), arrays(np.int64, (2, 9), elements=st.integers(-40, 40)))
def test_shifting_either_stream_changes_no_token(expert, base):
    settings = np.array([[0.1, 0.5]] * 2, np.float32)  # small integers, so that the shift is exact in float32
    tokens = contrastive_score.reference(expert.astype(np.float32), base.astype(np.float32), settings)[1]
    shifted = contrastive_score.reference((expert + 16).astype(np.float32), (base - 8).astype(np.float32), settings)[1]
    np.testing.assert_array_equal(tokens, shifted)


@given(logits, logits, strengths)
def test_aot_equals_the_reference(expert, base, setting):
    settings = np.array([setting] * 2, np.float32)
    check(run_ctypes(expert, base, settings), expert, base, settings, exact=True)


def run_ctypes(expert, base, alpha_beta):
    """The C++ body called without MindSpore, fast enough for many examples."""
    import ctypes

    from mindcold.ops import build
    from mindcold.ops.contrastive_score.aot import SOURCE

    rows, vocab = expert.shape
    out = [np.zeros((rows, vocab), np.float32), np.zeros(rows, np.int32), np.zeros(rows, np.float32)]
    arrays_ = [np.ascontiguousarray(item, np.float32) for item in (expert, base, alpha_beta)] + out
    params = (ctypes.c_void_p * 6)(*[item.ctypes.data for item in arrays_])
    dims = (
        [(ctypes.c_int64 * 2)(rows, vocab)] * 2
        + [(ctypes.c_int64 * 2)(rows, 2)]
        + [(ctypes.c_int64 * 2)(rows, vocab)] * 3
    )
    shapes = (ctypes.POINTER(ctypes.c_int64) * 6)(*dims)
    kernel = ctypes.CDLL(str(build.library(SOURCE))).contrastive_score
    assert kernel(6, params, None, shapes, None, None, None) == 0
    return out
