"""Penalties, truncation and the draw, against plain formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mindcold.decoding import sampling
from mindcold.decoding.sampling import probabilities
from mindcold.ops.contrastive_score.reference import contrastive_score
from mindcold.sampling_params import SamplingParams

rows = arrays(np.float32, st.integers(2, 40), elements=st.floats(-20, 20, width=32))


@given(rows)
def test_plain_options_give_the_softmax(scores):
    expected = np.exp(scores.astype(np.float64) - scores.max())
    np.testing.assert_allclose(sampling.probabilities(scores, SamplingParams()), expected / expected.sum(), rtol=1e-12)


@given(rows, st.integers(1, 50), st.floats(0.05, 1.0), st.floats(0.0, 1.0), st.floats(0.1, 3.0))
def test_truncation_keeps_a_distribution_that_holds_the_best_token(scores, top_k, top_p, min_p, temperature):
    p = probabilities(scores, SamplingParams(top_k=top_k, top_p=top_p, min_p=min_p, temperature=temperature))
    assert p.sum() == pytest.approx(1.0)
    assert p[scores.argmax()] == p.max() > 0
    assert (p >= min_p * p.max() - 1e-12)[p > 0].all()


def test_top_k_top_p_and_min_p_by_hand():
    scores = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))
    np.testing.assert_allclose(probabilities(scores, SamplingParams(top_k=2)), [2 / 3, 1 / 3, 0, 0], atol=1e-7)
    np.testing.assert_allclose(probabilities(scores, SamplingParams(top_p=0.6)), [2 / 3, 1 / 3, 0, 0], atol=1e-7)
    np.testing.assert_allclose(probabilities(scores, SamplingParams(top_p=0.5)), [1, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(probabilities(scores, SamplingParams(min_p=0.4)), [2 / 3, 1 / 3, 0, 0], atol=1e-7)


@pytest.mark.parametrize("temperature", [5e-324, 1e-308, 1e-30])
@pytest.mark.filterwarnings("error")
def test_a_temperature_near_zero_leaves_the_best_token(temperature):
    scores = np.array([-np.inf, -3e38, 2.0, 1.9999, 3e38], np.float32)
    assert probabilities(scores, SamplingParams(temperature=temperature)).tolist() == [0, 0, 0, 0, 1]
    params = SamplingParams(temperature=temperature, top_k=2, top_p=0.5, min_p=0.5)
    assert probabilities(scores[:4], params).tolist() == [0, 0, 1, 0]


def test_the_largest_temperature_is_even():
    assert probabilities(np.array([1, 2, -np.inf, 3], np.float32), SamplingParams(temperature=1e308)).tolist() == [
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        0,
        pytest.approx(1 / 3),
    ]


def test_masked_tokens_are_never_drawn():
    scores = np.array([-np.inf, 0.0, -np.inf, 1.0], np.float32)
    p = sampling.probabilities(scores, SamplingParams())
    assert {sampling.draw(p, 0, 0, i) for i in range(300)} == {1, 3}


def test_draws_follow_the_distribution_and_depend_on_seed_request_and_position_alone():
    p = np.array([0.1, 0.2, 0.3, 0.4])
    draws = [sampling.draw(p, 7, 0, i) for i in range(4000)]
    expected = p * 4000
    chi_square = ((np.bincount(draws, minlength=4) - expected) ** 2 / expected).sum()
    assert chi_square < 16.3  # 3 degrees of freedom, p = 0.001
    assert draws == [sampling.draw(p, 7, 0, i) for i in range(4000)]
    assert draws != [sampling.draw(p, 8, 0, i) for i in range(4000)]
    assert draws != [sampling.draw(p, 7, 1, i) for i in range(4000)]


def test_repetition_penalty_pushes_seen_tokens_down():
    scores = np.array([2.0, -2.0, 1.0, -np.inf], np.float32)
    out = sampling.penalise(scores, [0, 1, 1, 3], 2.0)
    np.testing.assert_array_equal(out, np.array([1.0, -4.0, 1.0, -np.inf], np.float32))
    assert scores[0] == 2.0


@given(rows)
def test_log_probability_is_the_log_of_the_softmax(scores):
    token = int(scores.argmin())
    p = sampling.probabilities(scores, SamplingParams())
    assert sampling.log_softmax(scores)[token] == pytest.approx(np.log(p[token]), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), alpha=st.sampled_from([1.0, 0.3, 0.1, 1e-3, 1e-30]), beta=st.sampled_from([0.0, 0.5, 3])
)
def test_the_contrast_of_two_rows_is_that_of_the_operator(seed, alpha, beta):
    """Bit by bit, with ties and with tokens that may not come."""
    rng = np.random.default_rng(seed)
    expert, amateur = (np.round(rng.standard_normal((2, 50)) * 4, rng.integers(0, 3))).astype(np.float32)
    expert[rng.random(50) < 0.2] = -np.inf
    expert[rng.integers(50)] = 1.0
    if not beta:
        amateur[:] = np.nan  # not read
    weights = np.array([[alpha, beta]], np.float32)
    scores, token, logprob = contrastive_score(expert[None], amateur[None], weights)
    found = sampling.contrast(expert, amateur, alpha, beta)
    np.testing.assert_array_equal(found, scores[0])
    chosen = sampling.choose(found, [], SamplingParams(), None)
    assert chosen[0] == token[0] and chosen[1] == pytest.approx(logprob[0], abs=1e-6)
