"""Keywords of generate: what is refused, and how."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from mindcold import decoding
from mindcold.errors import RequestError
from mindcold.sampling_params import SamplingParams


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("alpha", value) for value in (0, 0.0, -0.1, 1.0001, float("nan"), "0.1", None, True)],
        *[("beta", value) for value in (-1e-9, 1e39, float("inf"), float("nan"), "x", None)],
        *[("max_new_tokens", value) for value in (0, -1, 1.5, "3", True, None)],
        *[("temperature", value) for value in (0, -1, float("inf"))],
        *[("top_p", value) for value in (0, 1.1)],
        *[("top_k", value) for value in (-1, 1.5)],
        *[("min_p", value) for value in (-0.1, 1.5)],
        *[("repetition_penalty", value) for value in (0, -1, 1e-46, 1e39)],
        *[("length_penalty", value) for value in (1000, -1000, float("nan"))],
        *[("reward_weight", value) for value in (-1, 1e300)],
        *[("seed", value) for value in (-1, 0.5)],
        *[("prefill_chunk", value) for value in (0, 1, 257)],
        *[("stop_strings", value) for value in ("", [""], [3])],
        ("min_new_tokens", -1),
        ("do_sample", "yes"),
        *[
            (name, value)
            for name in ("alpha", "beta", "temperature", "top_p", "max_new_tokens", "top_k", "seed", "lookahead")
            for value in (
                True,
                np.True_,
                10**400,
                10**4000,
                np.array([1]),
                np.ones((1, 1)),
                np.ones((1, 1, 1)),
                [1],
                "1",
            )
        ],
        *[("max_new_tokens", value) for value in (Decimal("3.5"), Fraction(7, 2), np.float64(3), np.array(3.0), 2**63)],
        *[("alpha", value) for value in (Decimal("NaN"), Decimal("sNaN"), Fraction(10**400), 1j, np.timedelta64(1))],
        *[("do_sample", value) for value in (np.array([True, False]), "true", 2, [True], None.__class__)],
        *[("stop_strings", value) for value in (5, [5], [None], b"a", ["a", b"b"], ["\ud800"], {"a": 1}, True)],
        *[
            ("eos_token_id", value)
            for value in (b"\x02", "2", True, [True], 2.0, [2.5], np.array([True]), {2}, 10**400)
        ],
        *[("suppress_tokens", value) for value in (b"\x02", 5, np.array([True, False]), np.ones((2, 2), int), ["a"])],
        *[("bad_words_ids", value) for value in (5, [3], [b"\x02"], ["ab"], [[True]], np.ones((1, 1, 1), int))],
        *[
            (name, value)
            for name in ("score", "search", "adaptation", "draft")
            for value in (["plain"], 5, True, b"a", "")
        ],
        ("draft", np.array(["trigram"])),
    ],
)
def test_values_out_of_range_name_the_keyword(name, value):
    with pytest.raises(RequestError, match=f"^{name}: ") as caught:
        SamplingParams.of({name: value})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300


def test_bounds_of_arithmetic_are_said_where_they_are_exceeded():
    with pytest.raises(RequestError, match=r"^beta: a number >= 0 is expected, found -1$"):
        SamplingParams(beta=-1)
    with pytest.raises(RequestError, match=r"^beta: a number >= 0 and up to 1e\+06 is expected, found 1e\+39$"):
        SamplingParams(beta=1e39)


def test_unknown_keyword_suggests_the_nearest():
    with pytest.raises(RequestError, match=r"max_tokens: .* did you mean max_new_tokens"):
        SamplingParams.of({"max_tokens": 3})


def test_numpy_numbers_are_numbers():
    options = SamplingParams(max_new_tokens=np.int64(3), alpha=np.float32(0.5), beta=np.array(0.25), do_sample=np.True_)
    found = (options.max_new_tokens, options.alpha, options.beta, options.do_sample)
    assert found == (3, 0.5, 0.25, True) and [type(item) for item in found] == [int, float, float, bool]
    plain = SamplingParams(alpha=Decimal("0.5"), beta=Fraction(1, 4), top_p=1, score=np.str_("plain"))
    assert (plain.alpha, plain.beta, plain.top_p, type(plain.score)) == (0.5, 0.25, 1.0, str)


def test_lists_are_lists_of_plain_values():
    options = SamplingParams(
        eos_token_id=np.array([4, 5]),
        stop_strings=("a", np.str_("b")),
        suppress_tokens=np.array([1], np.uint8),
        bad_words_ids=np.array([[1, 2], [3, 4]]),
    )
    assert options.eos((), 10) == (4, 5) and options.stops == ("a", "b")
    assert options.bad_words(10) == [(1,), (1, 2), (3, 4)]
    assert SamplingParams(eos_token_id=np.int64(4)).eos((), 10) == SamplingParams(eos_token_id=np.array(4)).eos((), 10)
    with pytest.raises(RequestError, match="bad_words_ids: lists of at least one id are expected"):
        SamplingParams(bad_words_ids=[[]]).bad_words(10)


def test_end_of_text_ids():
    assert SamplingParams().eos((2, 3), 10) == (2, 3)
    assert SamplingParams(eos_token_id=5).eos((2,), 10) == (5,)
    assert SamplingParams(eos_token_id=[4, 5]).eos((2,), 10) == (4, 5)
    assert SamplingParams(eos_token_id=-1).eos((2,), 10) == () == SamplingParams(eos_token_id=[]).eos((2,), 10)
    with pytest.raises(RequestError, match="eos_token_id: 10"):
        SamplingParams(eos_token_id=10).eos((), 10)


def test_unknown_method_names_the_known():
    with pytest.raises(RequestError, match="method: 'beem' is not one of greedy, sample, cold"):
        decoding.find("beem")


def test_a_draft_stands_for_keywords_that_are_not_given():
    published = SamplingParams.of({"draft": "aded"}).preset("aded")
    assert (published.search, published.adaptation, published.draft_tokens) == ("mcts", "aded", 64)
    assert SamplingParams.of({"draft": "aded", "draft_tokens": 9}).preset("aded").draft_tokens == 9
    plain = SamplingParams.of({"draft": "trigram"})
    assert plain.preset("trigram") == plain
