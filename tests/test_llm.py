"""The public object on the shipped model: text, stops, budgets, streamers, and refusals before any work."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

import mindcold
from mindcold.errors import AdapterError, MindcoldError, RequestError
from tests.folders import write_adapter, write_model

PROMPT = "Question: Tom has 12 apples. Tom buys 9 more apples. How many apples does Tom have now? Answer:"


@pytest.fixture(scope="module")
def llm():
    return mindcold.load("tiny-base", adapter="tiny-steps")


def test_text_in_text_out(llm):
    out = llm.generate(PROMPT, "cold", max_new_tokens=60)
    assert out.finish_reason == "stop" and out.token_ids[-1] == 2
    assert out.text == llm.tokenizer.decode(out.token_ids) and "The answer is" in out.text
    assert out.stats.new_tokens == len(out.token_ids) == out.stats.target_passes


def test_streaming_is_the_same_as_generating(llm):
    tokens = list(llm.stream(PROMPT, "cold", max_new_tokens=60))
    out = llm.generate(PROMPT, "cold", max_new_tokens=60)
    assert [token.id for token in tokens] == out.token_ids
    assert "".join(token.text for token in tokens) == out.text
    assert all(token.logprob <= 1e-6 and not token.from_draft for token in tokens)


def test_log_probabilities_are_those_of_the_logits(llm):
    ids = llm.tokenizer.encode(PROMPT)
    token = next(llm.stream(PROMPT, max_new_tokens=1))
    logits = llm.logits(ids)[-1].astype(np.float64)
    assert token.id == logits.argmax()
    assert token.logprob == pytest.approx(logits.max() - np.log(np.exp(logits).sum()), abs=1e-4)


def test_a_streamer_gets_the_prompt_and_every_token(llm):
    class Record:
        seen, ended = [], False

        def put(self, value):
            self.seen.append(value.tolist())

        def end(self):
            self.ended = True

    streamer = Record()
    out = llm.generate(PROMPT, max_new_tokens=5, streamer=streamer)
    assert streamer.seen == [llm.tokenizer.encode(PROMPT), *[[token] for token in out.token_ids]] and streamer.ended


def test_stop_strings_end_the_text_right_behind_them(llm):
    whole = llm.generate(PROMPT, max_new_tokens=60).text
    stop = whole[4:9]
    out = llm.generate(PROMPT, max_new_tokens=60, stop_strings=["never seen", stop])
    assert out.finish_reason == "stop"
    assert out.text == whole[: whole.index(stop) + len(stop)]


def test_budget_and_end_of_text(llm):
    first = llm.generate(PROMPT, max_new_tokens=4)
    assert first.finish_reason == "length" and len(first.token_ids) == 4
    third = first.token_ids[2]
    ended = llm.generate(PROMPT, max_new_tokens=60, eos_token_id=[2047, third])
    assert ended.finish_reason == "stop" and ended.token_ids == first.token_ids[: first.token_ids.index(third) + 1]
    longer = llm.generate(PROMPT, max_new_tokens=60, eos_token_id=third, min_new_tokens=5)
    assert third not in longer.token_ids[:5] and len(longer.token_ids) > 5


def test_repetition_penalty_changes_the_text(llm):
    options = {"max_new_tokens": 30, "eos_token_id": []}
    assert llm.generate(PROMPT, repetition_penalty=5.0, **options).text != llm.generate(PROMPT, **options).text


def test_a_prompt_up_to_the_whole_context(llm):
    limit = llm.config.max_position_embeddings
    ids = (llm.tokenizer.encode(PROMPT) * 40)[: limit - 3]
    out = llm.generate(ids, "cold", max_new_tokens=50, eos_token_id=[])
    assert len(out.token_ids) == 3 and out.finish_reason == "length"
    chunked = llm.generate(ids, "cold", max_new_tokens=50, eos_token_id=[], prefill_chunk=64)
    assert chunked.token_ids == out.token_ids
    for length in (limit, limit + 1, limit * 100):
        with pytest.raises(RequestError, match="max_position_embeddings 512"):
            llm.generate([5] * length)


def test_a_list_in_a_list_out(llm):
    prompts = [PROMPT, "One day", llm.tokenizer.encode("In the morning")]
    outs = llm.generate(prompts, max_new_tokens=8)
    assert [out.token_ids for out in outs] == [llm.generate(prompt, max_new_tokens=8).token_ids for prompt in prompts]
    assert isinstance(llm.generate([PROMPT], max_new_tokens=2), list)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ([], "prompt: empty"),
        ([[]], "prompt 0: empty"),
        ([5, 2048], "prompt: 2048 is not a token id below vocab_size 2048"),
        ([5, -1], "prompt: -1 is not a token id"),
        ([[5], [7, 99999]], "prompt 1: 99999 is not a token id"),
        (np.array([1.5, 2.0]), "prompt 0: a text, token ids or chat messages are expected, found float64"),
        (None, "prompt: a text, token ids or chat messages are expected"),
        (7, "prompt: a text, token ids or chat messages are expected"),
        ([{"role": "user", "content": "x"}], "chat_template: missing"),
    ],
)
def test_prompts_that_cannot_be_decoded(llm, prompt, message):
    with pytest.raises(MindcoldError, match=message):
        llm.generate(prompt)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha: a number in"),
        ({"alpha": 1.5}, "alpha: a number in"),
        ({"beta": -0.1}, "beta: a number >= 0"),
        ({"method": "beem"}, "method: 'beem'"),
        ({"adapter": "french"}, "adapter: 'french' is not loaded; known are base, default"),
        ({"adapter": ["base", "base"]}, "adapter: 2 names for 1 prompts"),
        ({"max_tokens": 3}, "did you mean max_new_tokens"),
        ({"eos_token_id": 2048}, "eos_token_id: 2048"),
    ],
)
def test_options_that_are_refused(llm, options, message):
    with pytest.raises(RequestError, match=message):
        llm.generate(PROMPT, **options)


def test_a_model_without_tokenizer_takes_token_ids_alone(tmp_path):
    llm = mindcold.load(write_model(tmp_path / "model"))
    assert llm.generate([1, 2, 3], max_new_tokens=3).text == ""
    with pytest.raises(RequestError, match="has no tokenizer; give token ids"):
        llm.generate("text")
    with pytest.raises(RequestError, match="stop_strings"):
        llm.generate([1], stop_strings="x")
    with pytest.raises(RequestError, match="contrasts an adapter with the base"):
        llm.generate([1], "cold")
    llm.add_adapter("mine", write_adapter(tmp_path / "adapter"))
    assert llm.adapters == ["mine"] and llm.generate([1], "cold", max_new_tokens=2).token_ids
    for name in ("mine", "base"):
        with pytest.raises(AdapterError, match="is taken"):
            llm.add_adapter(name, tmp_path / "adapter")


def test_tables_keep_to_the_memory_they_are_given(tmp_path):
    llm = mindcold.load(write_model(tmp_path / "m"), draft_memory=0.1)
    for _ in range(2):
        llm.generate([[5, 9, 33], [7, 8]], "aded", max_new_tokens=30)
        assert 0.15e6 < llm.trigrams.nbytes < 0.22e6  # the shared one and the base's own
        llm.forget_drafts()
        assert 0.08e6 < llm.trigrams.nbytes < 0.11e6


def test_loading_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(MindcoldError, match="nor one of the shipped models: smollm2-arithmetic, smollm2-commongen, "):
        mindcold.load("no-such-model")
    with pytest.raises(RequestError, match="dtype: 'float64'"):
        mindcold.load("tiny-base", dtype="float64")
    with pytest.raises(RequestError, match="max_batch"):
        mindcold.load("tiny-base", max_batch=0)
    for memory in (0, float("nan"), "much", True):
        with pytest.raises(RequestError, match="draft_memory"):
            mindcold.load("tiny-base", draft_memory=memory)
    with pytest.raises(MindcoldError, match="backend: 'cuda'"):
        mindcold.load(write_model(tmp_path / "m"), backend="cuda").generate([1])


def test_importing_mindcold_imports_neither_mindformers_nor_mindspore():
    code = "import sys, mindcold; print([m for m in ('mindspore', 'mindformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    code = "import sys, mindcold; mindcold.load; print('mindformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_model_nobody_holds_is_gone_at_once():
    """No circle of references keeps weights and graphs until the collector comes."""
    gc.disable()
    try:
        llm = mindcold.load("tiny-base", "tiny-steps")
        llm.generate("One", "cdsl", draft="tiny-draft", max_new_tokens=3)
        assert len(list(llm.stream("One day", "cold", max_new_tokens=3))) == 3
        held = [weakref.ref(llm), *map(weakref.ref, llm.engine._graphs.values())]
        del llm
        assert len(held) > 1 and all(item() is None for item in held)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("prompt", "keywords", "message"),
    [
        (np.array([True, False]), {}, "prompt: True is not a token id"),
        ([True, 5], {}, "prompt: True is not a token id"),
        (np.array(5), {}, "prompt: a text, token ids or chat messages are expected, found ndarray"),
        (np.ones((1, 2, 3), int), {}, "prompt 0: array"),
        (b"\x05", {}, "prompt: a text, token ids or chat messages are expected, found bytes"),
        ([10**400], {}, "prompt: 1000"),
        ("half of a pair: \ud800", {}, "prompt: cannot encode a text: half of a surrogate pair is none"),
        *[([5], {"adapter": name}, "adapter: ") for name in ("", 5, "none", b"base", np.array(["a", "b"]), True)],
        ([5], {"adapter": [["default"]]}, r"adapter: \['default'\] is not loaded"),
        *[([5], {"method": name}, "method: ") for name in ("", 5, ["cold"], {"cold": 1}, np.array(["cold"]))],
        *[([5], {"streamer": item}, "streamer: an object with put and end") for item in (5, "x", object(), [])],
        ([5], {"constraint": 5}, "constraint: a constraint, keywords or a function of text"),
        ([5], {"constraint": {"regex": 5}}, "constraint: regex: a regular expression is expected"),
    ],
)
def test_types_that_are_not_meant(llm, prompt, keywords, message):
    with pytest.raises(RequestError, match=f"^{message}") as caught:
        llm.generate(prompt, **{"max_new_tokens": 1} | keywords)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_types_that_are_plainly_meant(llm):
    expected = llm.generate([5, 6], "cold", max_new_tokens=3, alpha=0.5).token_ids
    for ids in (np.array([5, 6]), (5, 6), [np.int64(5), np.array(6)], np.array([5, 6], np.uint8)):
        out = llm.generate(ids, np.str_("cold"), max_new_tokens=np.int8(3), alpha=np.array(0.5))
        assert out.token_ids == expected
    outs = llm.generate(np.array([[5, 6], [5, 6]]), "cold", adapter=("default", "default"), max_new_tokens=3, alpha=0.5)
    assert [out.token_ids for out in outs] == [expected] * 2


def test_names_of_adapters_and_arguments_of_load(llm):
    for name in ("", None, 5, b"a", ["a"], True, "\ud800"):
        with pytest.raises(AdapterError, match="adapter name: a non-empty string is expected"):
            llm.add_adapter(name, "tiny-keywords")
    for arguments, message in (
        *[({"max_batch": value}, "max_batch: an integer from 1") for value in (True, 2.0, "2", 0, 10**400)],
        *[({"prefix_cache": value}, "prefix_cache: an integer from 0") for value in (-1, "2", 1.5, True, 2**40)],
        *[({"draft_memory": value}, "draft_memory: megabytes") for value in (True, "2", float("nan"), 10**400)],
        *[({"dtype": value}, "dtype: ") for value in (5, ["float32"], None, np.array(["float32", "int8"]))],
        *[({"backend": value}, "backend: ") for value in (5, ["aot"], None, "")],
        *[
            ({"model": value}, "folder: a path is expected")
            for value in (5, None, "", b"tiny-base", ["tiny-base"], "a\0b")
        ],
        ({"model": "n" * 5000}, "nnn"),
        ({"adapter": 5}, "folder: a path is expected"),
    ):
        with pytest.raises(MindcoldError, match=f"^{message}") as caught:
            mindcold.load(**{"model": "tiny-base"} | arguments)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 600


def test_drafts_are_warmed_up_by_lists_of_texts(llm):
    try:
        llm.warm_drafts("one text")
        alone = llm.trigrams.shared
        llm.warm_drafts(["one text"])
        assert (alone.tokens == llm.trigrams.shared.tokens).all()
        for texts in (5, None, [5], [None], ["\ud800"]):
            with pytest.raises(RequestError):
                llm.warm_drafts(texts)
        for path in (5, None, "", b"a"):
            with pytest.raises(RequestError, match="drafts: a path is expected"):
                llm.save_drafts(path)
            with pytest.raises(RequestError, match="drafts: a path is expected"):
                llm.load_drafts(path)
        for chunk in (True, 0, 2.5, "3"):
            with pytest.raises(RequestError, match="chunk: an integer from 1"):
                llm.logits([5], chunk=chunk)
    finally:
        llm.forget_drafts()
