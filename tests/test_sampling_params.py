"""Keywords of generate: what is refused, and how."""

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
    ],
)
def test_values_out_of_range_name_the_keyword(name, value):
    with pytest.raises(RequestError, match=f"^{name}: "):
        SamplingParams.of({name: value})


def test_unknown_keyword_suggests_the_nearest():
    with pytest.raises(RequestError, match=r"max_tokens: .* did you mean max_new_tokens"):
        SamplingParams.of({"max_tokens": 3})


def test_numpy_numbers_are_numbers():
    options = SamplingParams(max_new_tokens=np.int64(3), alpha=np.float32(0.5))
    assert options.max_new_tokens == 3


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
