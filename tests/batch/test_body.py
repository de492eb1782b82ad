"""Bodies: OpenAI's fields, mindcold's keywords, and every field that is not honoured is named."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindcold.batch.body import CHAT, COMPLETIONS, BodyReader
from mindcold.errors import MindcoldError, RequestError
from mindcold.sampling_params import SamplingParams
from tests.batch.jobs import request

READER = BodyReader(["base-model"], ["poet", "chef"], options={"max_new_tokens": 9})
TALK = [{"role": "user", "content": "Hello"}]


def chat(**body):
    return READER.of_line(request("a", CHAT, **{"model": "poet", "messages": TALK} | body))


def complete(**body):
    return READER.of_line(request("a", COMPLETIONS, **{"model": "poet", "prompt": "Hello"} | body))


def options(**body):
    (found,) = complete(**body).requests
    return found.method, found.options


def test_model_names_an_adapter_or_the_base():
    assert [item.adapter for item in complete(model="chef").requests] == ["chef"]
    assert [item.adapter for item in complete(model="base-model").requests] == ["base"]
    assert [item.adapter for item in complete(model="base").requests] == ["base"]
    assert complete(model=None).requests[0].adapter is None and complete(model=None).model == "poet"
    with pytest.raises(RequestError, match="model: 'x' is not loaded; known are poet, chef, base-model"):
        complete(model="x")


def test_openai_names_become_keywords():
    assert options() == (None, {"max_new_tokens": 9})
    assert options(max_tokens=4, stop=["."]) == (None, {"max_new_tokens": 4, "stop_strings": ["."]})
    assert options(max_completion_tokens=4)[1] == {"max_new_tokens": 4}
    with pytest.raises(RequestError, match="max_tokens"):
        complete(max_completion_tokens=4, max_tokens=5)


def test_temperature_chooses_between_the_best_and_a_draw():
    assert options(temperature=0, top_p=0.5)[0] == "greedy" and "top_p" not in options(temperature=0, top_p=0.5)[1]
    assert options(temperature=0.5, seed=3) == ("sample", {"max_new_tokens": 9, "temperature": 0.5, "seed": 3})
    assert options(top_k=3)[0] == "sample"
    assert options(decoding_method="cold", temperature=0.5)[1]["do_sample"] is True
    assert options(decoding_method="cold", temperature=0)[1]["do_sample"] is False
    assert options(decoding_method="cold", alpha=0.3) == ("cold", {"max_new_tokens": 9, "alpha": 0.3})


def test_prompts_and_choices():
    assert [item.prompt for item in complete(prompt=["a", "b"], n=2).requests] == ["a", "a", "b", "b"]
    assert [item.prompt for item in complete(prompt=[5, 6]).requests] == [[5, 6]]
    assert [item.prompt for item in complete(prompt=[[5], [6]]).requests] == [[5], [6]]
    parts = [{"role": "user", "content": [{"type": "text", "text": "He"}, {"type": "text", "text": "llo"}]}]
    assert chat(messages=parts).requests[0].prompt == TALK


def test_constraints_and_formats():
    schema = {"type": "object"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert chat(response_format=form).requests[0].options["constraint"] == [{"json_schema": schema}]
    both = chat(response_format=form, constraint={"keywords": ["a"]}).requests[0].options["constraint"]
    assert both == [{"keywords": ["a"]}, {"json_schema": schema}]
    assert "constraint" not in chat(response_format={"type": "text"}).requests[0].options
    with pytest.raises(RequestError, match=r"response_format: type: .*'json_object'"):
        chat(response_format={"type": "json_object"})


def test_what_asks_for_nothing_is_taken():
    assert options(stream=False, presence_penalty=0, logit_bias={}, user="me", suffix=None, best_of=1, echo=False) == (
        None,
        {"max_new_tokens": 9},
    )


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"stream": True}, "stream"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"nonsense": 0}, "nonsense"),
        ({"max_new_tokens": 5}, "max_new_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [True]}, "prompt"),
        ({"logprobs": 3}, "logprobs"),
        ({"decoding_method": 5}, "decoding_method"),
    ],
)
def test_a_field_that_is_not_honoured_is_named(body, name):
    with pytest.raises(RequestError, match=f"^{name}: "):
        complete(**body)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ({"custom_id": "a"}, "url"),
        (request("") | {"body": {}}, "custom_id"),
        (request("a", "/v1/embeddings"), "url"),
        (request("a") | {"method": "GET"}, "method"),
        (request("a") | {"body": []}, "body"),
        (request("a") | {"extra": 1}, "extra"),
        (request("a", CHAT, messages=[]), "messages"),
        (request("a", CHAT, messages=[{"role": "user", "content": [{"type": "image_url"}]}]), "messages"),
        (request("a", CHAT, messages=[{"content": "x"}]), "messages"),
        (request("a", CHAT, messages=TALK, top_logprobs=2, logprobs=True), "top_logprobs"),
    ],
)
def test_a_line_that_is_no_request_is_named(line, name):
    with pytest.raises(RequestError, match=f"^{name}: "):
        READER.of_line(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = sorted({*SamplingParams.__dataclass_fields__, "model", "prompt", "messages", "n", "logprobs", "stop", "tools"})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([CHAT, COMPLETIONS]), st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_no_body_ends_in_another_exception(url, body):
    """Also where the keywords are read that a reader leaves to the request."""
    good = {"messages": TALK} if url == CHAT else {"prompt": "x"}
    try:
        for item in READER.of_line(request("a", url, **good | body)).requests:
            SamplingParams.of(item.options)
    except MindcoldError:
        pass


def test_likely_tokens_for_all_lines_are_refused_as_those_of_one_are():
    with pytest.raises(RequestError, match="top_logprobs: responses of a batch have the tokens that were chosen alone"):
        BodyReader(["base"], [], options={"top_logprobs": 3})
    assert BodyReader(["base"], [], options={"top_logprobs": 0})
