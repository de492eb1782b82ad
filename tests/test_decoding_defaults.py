"""Decoding defaults beside an adapter: what they change, what wins over them, and files that are refused."""

import json
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mindcold
from mindcold.decoding_defaults import FILE, DecodingDefaults, TuningRecord, check_writable
from mindcold.errors import AdapterError, RequestError
from mindcold.model_zoo import path as shipped
from tests.folders import write_adapter, write_model

RECORD = TuningRecord("jsonl", "own.jsonl", "all", "m", "accuracy", 30, 30, 0.25, 0.5, 0.25, 0.1, 0.4, "cold:alpha=0.9")
TUNED = DecodingDefaults("cold", 0.9, 3.0, "trigram", 8, RECORD)
IDS = [5, 9, 33, 7, 60]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    """Three adapters: the first without defaults, "tuned" with them, "careful" for greedy with drafts."""
    root = tmp_path_factory.mktemp("defaults")
    model = write_model(root / "model")
    for seed, (name, defaults) in enumerate(
        (("plain", None), ("tuned", TUNED), ("careful", DecodingDefaults(draft="trigram", draft_tokens=4)))
    ):
        write_adapter(root / name, seed=seed + 1)
        if defaults:
            defaults.write(root / name)
    llm = mindcold.load(model, root / "plain", dtype="float32")
    llm.add_adapter("tuned", root / "tuned")
    llm.add_adapter("careful", root / "careful")
    return llm


def ids(llm, method=None, **options):
    out = llm.generate(IDS, method, max_new_tokens=24, eos_token_id=-1, **options)
    return out.token_ids, out.stats.method, out.stats.drafted > 0


def test_a_call_that_says_nothing_decodes_by_the_adapters_defaults(llm):
    assert llm.decoding_defaults("tuned") == TUNED and llm.decoding_defaults() == DecodingDefaults()
    expected, _, _ = ids(llm, "cold", adapter="tuned", alpha=0.9, beta=3.0)
    greedy, _, _ = ids(llm, "greedy", adapter="tuned")
    other, _, _ = ids(llm, "cold", adapter="tuned", alpha=0.1, beta=0.5)
    assert len({tuple(item) for item in (expected, greedy, other)}) == 3  # else the comparison says nothing
    assert ids(llm, adapter="tuned") == (expected, "cold", True)
    state = llm.builder.build(0, mindcold.Request(IDS, adapter="tuned"), llm.trigrams)
    assert (state.params.alpha, state.params.beta, state.params.draft_tokens) == (0.9, 3.0, 8)
    assert [token.id for token in llm.stream(IDS, adapter="tuned", max_new_tokens=24, eos_token_id=-1)] == expected
    requests = [mindcold.Request(IDS, adapter=name, max_new_tokens=24, eos_token_id=-1) for name in ("tuned", "base")]
    tuned, base = llm.generate(requests)
    assert (tuned.token_ids, tuned.stats.method) == (expected, "cold")
    assert (base.token_ids, base.stats.method) == (ids(llm, "greedy", adapter="base")[0], "greedy")


def test_a_named_method_takes_alpha_and_beta_alone(llm):
    expected, _, _ = ids(llm, adapter="tuned")
    assert ids(llm, "cold", adapter="tuned") == (expected, "cold", False)
    assert ids(llm, "greedy", adapter="tuned")[1:] == ("greedy", False)
    state = llm.builder.build(0, mindcold.Request(IDS, "beam", adapter="tuned", score="contrastive"), llm.trigrams)
    assert state.contrast == (0.9, 3.0)
    state = llm.builder.build(0, mindcold.Request(IDS, "beam", adapter="tuned"), llm.trigrams)
    assert state.contrast is None


def test_what_is_given_wins(llm):
    assert (
        ids(llm, adapter="tuned", alpha=0.1, beta=0.5)[0] == ids(llm, "cold", adapter="tuned", alpha=0.1, beta=0.5)[0]
    )
    state = llm.builder.build(0, mindcold.Request(IDS, adapter="tuned", beta=0.25), llm.trigrams)
    assert state.contrast == (0.9, 0.25)
    assert ids(llm, adapter="tuned", draft="none")[1:] == ("cold", False)
    state = llm.builder.build(0, mindcold.Request(IDS, adapter="tuned", draft_tokens=3), llm.trigrams)
    assert (state.params.draft_tokens, state.drafter is not None) == (3, True)
    state = llm.builder.build(0, mindcold.Request(IDS, adapter="tuned", draft="trigram"), llm.trigrams)
    assert state.params.draft_tokens is None


def test_adapters_without_defaults_are_greedy(llm):
    assert ids(llm)[1:] == ("greedy", False) and ids(llm) == ids(llm, "greedy")
    assert ids(llm, adapter="careful") == (ids(llm, "greedy", adapter="careful")[0], "greedy", True)
    with pytest.raises(RequestError, match="alpha: method 'greedy' has no use for it"):
        llm.generate(IDS, alpha=0.2)
    with pytest.raises(RequestError, match="a Request has a method"):
        llm.generate([mindcold.Request(IDS)], "greedy")


@given(
    st.builds(
        DecodingDefaults,
        st.just("cold"),
        st.none() | st.floats(1e-6, 1),
        st.none() | st.floats(0, 100),
        st.just("trigram"),
        st.none() | st.integers(1, 64),
        st.none() | st.just(RECORD),
    )
)
def test_what_is_written_is_read(tmp_path_factory, defaults):
    folder = tmp_path_factory.mktemp("written")
    assert defaults.write(folder) == folder / FILE and [path.name for path in folder.iterdir()] == [FILE]
    assert DecodingDefaults.of_folder(folder) == defaults
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"method": "cold", "aplha": 0.1}, "aplha: not a known field; known are method, alpha"),
        ({"method": "magic"}, "method: 'magic' is not one of greedy, sample, cold"),
        ({"method": 3}, "method: a string is expected, found 3"),
        ({"method": "cold", "alpha": 0}, "alpha: a number in (0, 1] is expected, found 0"),
        ({"method": "cold", "alpha": "0.1"}, "alpha: a number in (0, 1] is expected, found '0.1'"),
        ({"method": "cold", "beta": -1}, "beta: a number >= 0 is expected, found -1"),
        ({"method": "greedy", "alpha": 0.3}, "alpha: method 'greedy' has no use for it"),
        ({"method": "greedy", "draft_tokens": 8}, "draft_tokens: method 'greedy' has no use for it"),
        ({"method": "greedy", "draft": "trigram", "draft_tokens": 65}, "draft_tokens: an integer from 1 to 64"),
        ({"method": "cdsl", "draft": "/some/model"}, "draft: '/some/model' is not one of none, trigram"),
        ({"draft": ["trigram"]}, "draft: ['trigram'] is not one of none, trigram"),
        ({"tuned_on": 3}, "tuned_on: an object is expected, found 3"),
        ({"tuned_on": {"task": "x", "code": "y"}}, "tuned_on: code: not a known field; known are task, data"),
        ({"tuned_on": []}, "tuned_on: an object is expected, found []"),
        ({"tuned_on": {"task": "x"}}, "tuned_on: data: a text of 1 to 200 characters is expected"),
        ([1], "a JSON object is expected, found list"),
        ({"method": "x" * 70_000}, "more than 65536 bytes"),
        ("{", "not valid JSON"),
    ],
)
def test_files_that_are_refused(tmp_path, content, message):
    folder = tmp_path / "a"
    shutil.copytree(shipped("tiny-steps"), folder)
    (folder / FILE).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(AdapterError) as found:
        DecodingDefaults.of_folder(folder)
    assert str(found.value).startswith(f"{folder / FILE}: ") and message in str(found.value)
    assert "\n" not in str(found.value)
    with pytest.raises(AdapterError, match="not overwritten"):
        DecodingDefaults().write(folder)


def test_every_field_of_the_record_is_needed_and_typed(tmp_path):
    for name, value in TUNED.to_dict()["tuned_on"].items():
        content = TUNED.to_dict()
        for wrong in (None, [value], ""):
            content["tuned_on"] = content["tuned_on"] | {name: wrong}
            (tmp_path / FILE).write_text(json.dumps(content), encoding="utf-8")
            with pytest.raises(AdapterError, match=f"{FILE}: tuned_on: {name}: "):
                DecodingDefaults.of_folder(tmp_path)


def test_an_adapter_whose_file_is_damaged_is_not_added(tmp_path):
    llm = mindcold.load(write_model(tmp_path / "model"))
    folder = write_adapter(tmp_path / "a")
    (folder / FILE).write_text('{"method": "cold", "beta": null, "alpha": 2}', encoding="utf-8")
    with pytest.raises(AdapterError, match="alpha: a number in"):
        llm.add_adapter("a", folder)
    assert llm.adapters == []
    (folder / FILE).write_text('{"method": "cold", "beta": null}', encoding="utf-8")
    llm.add_adapter("a", folder)
    assert llm.decoding_defaults() == DecodingDefaults("cold")


def test_defaults_take_the_place_of_defaults_alone(tmp_path):
    assert check_writable(tmp_path) == tmp_path / FILE
    TUNED.write(tmp_path)
    replace(TUNED, beta=1.0).write(tmp_path)
    assert DecodingDefaults.of_folder(tmp_path).beta == 1.0
    with pytest.raises(AdapterError, match="No such file"):
        TUNED.write(tmp_path / "nowhere")
