"""contrastive_score: the contract by hand and by property, and every body against it."""

import ctypes
import functools

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mindcold.ops import build, contrastive_score
from mindcold.ops.contrastive_score.aot import SOURCE
from mindcold.ops.contrastive_score.reference import finite_logits

INF = np.inf
BODIES = ["aot", "builtin"]


def run(body, expert, base, alpha_beta, allowed=None):
    """The outputs of a body's Cell, run as a graph."""

    def step(expert, base, alpha_beta, allowed=None):
        return body(expert, base, alpha_beta, allowed)

    arguments = [ms.Tensor(np.asarray(item, np.float32)) for item in (expert, base, alpha_beta)]
    arguments += [] if allowed is None else [ms.Tensor(allowed)]
    return [out.asnumpy() for out in ms.jit(step)(*arguments)]


def random_mask(rows, vocab, seed=0):
    """Masks with a part of the tokens, a single one, all and none, in turn."""
    rng = np.random.default_rng(seed)
    allowed = (rng.random((rows, vocab)) < 0.3).astype(np.int8)
    allowed[1::4] = 0
    allowed[1::4, vocab // 2] = 1
    allowed[2::4] = -1  # anything but zero
    allowed[3::4] = 0
    return allowed


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
    for best in (0, 5):
        out = run(body_of(backend, best), expert, base, alpha_beta)
        check(out, expert, base, alpha_beta, exact=backend == "aot", best=best)


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize(("rows", "vocab"), [(1, 1), (1, 13), (2, 1001), (16, 2048), (1, 151936), (5, 32000)])
def test_shapes(backend, rows, vocab):
    expert, base, alpha_beta = random_case(rows, vocab)
    for best in (0, 8):
        body = body_of(backend, best)
        for _ in range(3):
            out = run(body, expert, base, alpha_beta)
            check(out, expert, base, alpha_beta, exact=backend == "aot", best=best)


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("best", [0, 8])
def test_experts_and_amateurs_in_one_tensor_and_padding_anywhere(backend, masked, best):
    expert, base, alpha_beta = random_case(5, 20011)
    body, real = body_of(backend, best), [0, 2, 4]
    alpha_beta[[1, 3]] = (-1, 0)
    alpha_beta[4, 1] = 0
    expert[[1, 3]] = base[[1, 4]] = np.nan
    masks = [random_mask(5, 20011)] if masked else []

    def step(logits, alpha_beta, allowed=None):
        return body.stacked(logits, alpha_beta, allowed)

    out = ms.jit(step)(*map(ms.Tensor, (np.concatenate([expert, base]), alpha_beta, *masks)))
    out = [item.asnumpy()[real] for item in out]
    allowed = masks[0][real] if masked else None
    check(out, expert[real], base[real], alpha_beta[real], exact=backend == "aot", allowed=allowed, best=best)


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("case", ["ties", "minus infinity", "all forbidden", "extremes", "base -inf", "random"])
def test_masks(backend, case):
    expert, base, alpha_beta = (np.repeat(item, 2, 0) for item in (edge_case(case)))
    allowed = random_mask(6, 257)
    for setting in ((0.1, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 2.0), (0.001, 0.0), (1.0, 0.0)):
        alpha_beta[:] = setting
        out = run(body_of(backend, 4), expert, base, alpha_beta, allowed)
        check(out, expert, base, alpha_beta, exact=backend == "aot", allowed=allowed, best=4)
        assert not (out[0] > -INF)[allowed == 0].any()
        assert out[1][3] == 0 and out[2][3] == -INF  # nothing is allowed there


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize(("rows", "vocab"), [(1, 1), (1, 13), (2, 1001), (5, 32000)])
def test_shapes_of_masks(backend, rows, vocab):
    (expert, base, alpha_beta), allowed = random_case(rows, vocab), random_mask(rows, vocab)
    for _ in range(3):
        out = run(body_of(backend), expert, base, alpha_beta, allowed)
        check(out, expert, base, alpha_beta, exact=backend == "aot", allowed=allowed)


@pytest.mark.parametrize("backend", BODIES)
def test_the_cut_is_relative_to_the_best_allowed_token(backend):
    expert = np.array([[9.0, 3.0, 2.9, 0.0]], np.float32)
    setting, allowed = np.array([[0.5, 0.0]], np.float32), np.array([[0, 1, 1, 1]], np.int8)
    out = run(body_of(backend), expert, expert, setting, allowed)
    assert out[0].tolist() == [[-INF, 3.0, np.float32(2.9), -INF]] and out[1].tolist() == [1]


@pytest.mark.parametrize("backend", [*BODIES, "reference"])
@pytest.mark.parametrize("masked", [False, True])
def test_without_contrast_the_base_is_not_read(backend, masked):
    expert, base, alpha_beta = random_case(4, 20011)
    allowed = random_mask(4, 20011) if masked else None
    alpha_beta[:, 1] = (0.0, 0.5, 0.0, 0.0)
    expected = contrastive_score.reference(expert, base, alpha_beta, allowed)
    base[[0, 2, 3]] = np.nan
    if backend == "reference":
        out = contrastive_score.reference(expert, base, alpha_beta, allowed)
    else:
        out = run(body_of(backend), expert, base, alpha_beta, allowed)
    for mine, wanted in zip(out, expected, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("backend", BODIES)
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("vocab", [3, 1001, 20011])
def test_what_is_made_of_logits_that_are_not_finite_has_no_probability(backend, stacked, vocab):
    places = [0, vocab // 2, vocab - 1]
    expert, base, alpha_beta = random_case(12, vocab)
    alpha_beta[:] = (0.1, 0.5)
    for row, (place, value) in enumerate((place, value) for value in (np.nan, INF, -INF) for place in places):
        (expert if row % 2 else base)[row, place] = value
    base[9], alpha_beta[9, 1] = np.nan, 0  # not read
    expert[10], alpha_beta[10] = np.nan, (-1, 0)  # padding
    logprob = np.linspace(-5, 0, 12, dtype=np.float32)
    logprob[11] = -INF  # nothing may come
    wanted = finite_logits(logprob, expert, base, alpha_beta)
    assert np.isnan(wanted[:9]).all() and np.array_equal(wanted[[9, 11]], logprob[[9, 11]])
    body = body_of(backend)

    def step(logprob, alpha_beta, *logits):
        if stacked:
            return body.checked_stacked(logprob, *logits, alpha_beta)
        return body.checked(logprob, *logits, alpha_beta)

    logits = [np.concatenate([expert, base])] if stacked else [expert, base]
    found = ms.jit(step)(*map(ms.Tensor, (logprob, alpha_beta, *logits))).asnumpy()
    real = [*range(10), 11]
    np.testing.assert_array_equal(found[real], wanted[real])


@functools.cache
def body_of(backend, best=0):
    return contrastive_score.body(backend, best=best)


def check(out, expert, base, alpha_beta, exact, allowed=None, best=0):
    scores, token, logprob, *ranked = contrastive_score.reference(expert, base, alpha_beta, allowed, best)
    assert len(out) == 3 + len(ranked) == (5 if best else 3)
    if exact:  # the C++ body does the contract's arithmetic to the bit
        np.testing.assert_array_equal(out[0], scores)
    else:
        np.testing.assert_allclose(out[0], scores, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(out[1], token)
    np.testing.assert_allclose(out[2], logprob, rtol=1e-5, atol=2e-6)
    if best:
        np.testing.assert_array_equal(out[3], ranked[0])
        np.testing.assert_allclose(out[4], ranked[1], rtol=1e-5, atol=4e-6)


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


masks = arrays(np.int8, (2, 9), elements=st.integers(0, 1))


@given(logits, logits, strengths, masks)
def test_a_mask_is_a_smaller_vocabulary(expert, base, setting, allowed):
    settings = np.array([setting] * 2, np.float32)
    scores, token, logprob = contrastive_score.reference(expert, base, settings, allowed)
    for row, kept in enumerate(map(np.flatnonzero, allowed)):
        if not len(kept):
            assert token[row] == 0 and logprob[row] == -INF and (scores[row] == -INF).all()
            continue
        alone = contrastive_score.reference(expert[row : row + 1, kept], base[row : row + 1, kept], settings[:1])
        np.testing.assert_array_equal(scores[row, kept], alone[0][0])
        assert token[row] == kept[alone[1][0]]
        np.testing.assert_allclose(logprob[row], alone[2][0], rtol=1e-6, atol=1e-6)
        assert (np.delete(scores[row], kept) == -INF).all()


@given(logits, logits, strengths, st.none() | masks, st.integers(0, 12))
def test_aot_equals_the_reference(expert, base, setting, allowed, best):
    settings = np.array([setting] * 2, np.float32)
    out = run_ctypes(expert, base, settings, allowed, best)
    check(out, expert, base, settings, exact=True, allowed=allowed, best=best)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([1, 8, 20]))
def test_aot_finds_the_best_tokens_wherever_they_are(seed, levels, best):
    """Rows of several blocks and stretches with few different scores, so that ties go across all borders."""
    rng = np.random.default_rng(seed)
    expert, base = (rng.choice([-INF, *range(levels)], (2, 9001)).astype(np.float32) for _ in range(2))
    base[base == -INF] = 0
    if seed % 2:  # few tokens are left
        expert[rng.random(expert.shape) < 0.999] = -INF
    settings = np.array([[0.0, 0.0], [0.2, 1.0]], np.float32)
    check(run_ctypes(expert, base, settings, None, best), expert, base, settings, exact=True, best=best)


@given(logits, logits, strengths, st.none() | masks, st.integers(1, 12))
def test_the_best_tokens_are_the_order_of_the_scores(expert, base, setting, allowed, best):
    settings = np.array([setting] * 2, np.float32)
    scores, token, logprob, tokens, logprobs = contrastive_score.reference(expert, base, settings, allowed, best)
    for row in range(2):
        kept = tokens[row][tokens[row] >= 0]
        assert len(kept) == min(best, (scores[row] > -INF).sum()) == len(set(kept.tolist()))
        order = sorted(kept.tolist(), key=lambda i: (-scores[row, i], i))
        assert kept.tolist() == order and (tokens[row][len(kept) :] == -1).all()
        rest = np.delete(scores[row], kept)
        assert not len(kept) or len(kept) == 9 or scores[row, kept[-1]] >= rest.max()
        if len(kept):
            assert kept[0] == token[row] and np.isclose(logprobs[row, 0], logprob[row])
            assert np.exp(logprobs[row].astype(np.float64)).sum() <= 1 + 1e-5


def run_ctypes(expert, base, alpha_beta, allowed=None, best=0):
    """The C++ body called without MindSpore, fast enough for many examples."""
    rows, vocab = expert.shape
    out = [np.zeros((rows, vocab), np.float32), np.zeros(rows, np.int32), np.zeros(rows, np.float32)]
    out += [np.zeros((rows, best), np.int32), np.zeros((rows, best), np.float32)] if best else []
    inputs = [np.ascontiguousarray(item, np.float32) for item in (expert, base, alpha_beta)]
    inputs += [] if allowed is None else [allowed]
    operands = inputs + out
    params = (ctypes.c_void_p * len(operands))(*[item.ctypes.data for item in operands])
    dims = [(ctypes.c_int64 * item.ndim)(*item.shape) for item in operands]
    shapes = (ctypes.POINTER(ctypes.c_int64) * len(operands))(*dims)
    kernel = ctypes.CDLL(str(build.library(SOURCE))).contrastive_score
    assert kernel(len(operands), params, None, shapes, None, None, None) == 0
    return out
