"""Progressive precision: the loaded weights decide the first tokens, lower ones the others on the same cache."""

import numpy as np
import pytest

import mindcold
from mindcold.engine import StepPlan
from tests.folders import write_adapter, write_model

PROMPTS = [[5, 9, 33], [7], [1, 2] * 20, [11, 12, 13, 14]]
METHODS = {
    "greedy": {},
    "contrast": {"score": "contrastive", "alpha": 0.05, "beta": 0.8},
    "sample": {"do_sample": True, "temperature": 1.3, "seed": 5},
    "masked": {"suppress_tokens": [3, 17, 40], "repetition_penalty": 1.3},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pmpd")
    return write_model(folder / "model", seed=2), [write_adapter(folder / f"a{i}", seed=i) for i in range(2)]


@pytest.fixture(scope="module")
def llms(folders):
    return {dtype: mindcold.load(folders[0], folders[1][0], dtype=dtype) for dtype in ("float32", "bfloat16")}


@pytest.fixture(scope="module")
def llm(llms):
    return llms["float32"]


def plain_of(options):
    """The method of the same tokens without lower weights."""
    kept = {name: value for name, value in options.items() if name != "score"}
    return {"method": "cold" if "score" in options else "greedy"} | kept


def feed(sequence, tokens):
    """Logits after the last of some tokens in each stream, float32 [streams, vocab]."""
    plan = StepPlan()
    plan.extend(sequence, tokens)
    out = sequence.engine.logits(plan)
    sequence.commit(len(tokens))
    return out.reshape(len(sequence.streams), len(tokens), -1)[:, -1]


def naive(llm, prompt, options, low_dtype, high_steps, count):
    """Tokens of the loaded weights alone, then one pass of the lower ones for each."""
    tokens = llm.generate(prompt, max_new_tokens=high_steps, eos_token_id=[], **plain_of(options)).token_ids
    low = llm._precisions.engine(low_dtype)
    for engine in (llm.engine, low):
        engine.reserve(4 * (len(prompt) + count))
    streams = [0, -1] if "score" in options else [0]
    high, other = (engine.open(streams, len(prompt) + count) for engine in (llm.engine, low))
    feed(high, [*prompt, *tokens[:-1]])
    other.adopt(high)
    while len(tokens) < count:
        rows = feed(other, tokens[-1:])
        scores = rows[0]
        if len(rows) == 2:
            cut = scores >= scores.max() + np.float32(np.log(options["alpha"]))
            scores = np.where(cut, (1 + options["beta"]) * scores - options["beta"] * rows[1], -np.inf)
        tokens.append(int(scores.argmax()))
    high.close()
    other.close()
    return tokens


@pytest.mark.parametrize(("high", "name"), [("float32", "greedy"), ("bfloat16", "contrast")])
def test_the_lower_weights_go_on_where_the_higher_ones_stood(llms, high, name):
    llm, low, options, changed = llms[high], "int8", METHODS[name], False
    for prompt, steps in ((PROMPTS[0], 1), (PROMPTS[1], 5), (PROMPTS[3], 4)):
        plain = llm.generate(prompt, max_new_tokens=20, eos_token_id=[], **plain_of(options)).token_ids
        keywords = {"high_precision_steps": steps, "low_dtype": low, "max_new_tokens": 20, "eos_token_id": []}
        out = llm.generate(prompt, "pmpd", **keywords, **options)
        assert out.token_ids == naive(llm, prompt, options, low, steps, 20)
        assert out.token_ids[:steps] == plain[:steps]
        changed |= out.token_ids != plain
        drafted = llm.generate(prompt, "pmpd", draft="trigram", draft_tokens=4, **keywords, **options)
        assert drafted.token_ids == out.token_ids
    assert changed  # else the test would not see whose weights decide
    assert llm.engine.used_slots == llm._precisions.engine(low).used_slots == 0


@pytest.mark.parametrize("name", ["contrast", "sample", "masked"])
def test_weights_that_are_no_lower_change_no_token(llm, name):
    """Nor do batches, prompts with a common beginning, and requests of other methods in the same steps."""
    prompts = [*PROMPTS, [1, 2] * 18 + [9]]
    options = METHODS[name] | {"max_new_tokens": 20}
    plain = llm.generate(prompts, **plain_of(options))
    for steps, draft in ((1, "none"), (7, "trigram"), (20, "trigram"), (64, "none")):
        own = options | {"low_dtype": "float32", "high_precision_steps": steps, "draft": draft}
        requests = [mindcold.Request(prompt, "pmpd", **own) for prompt in prompts]
        outs = llm.generate([*requests, mindcold.Request([8, 9], "sample", max_new_tokens=9)])[:-1]
        assert [out.token_ids for out in outs] == [out.token_ids for out in plain], steps
        assert [out.finish_reason for out in outs] == [out.finish_reason for out in plain]


def test_a_model_that_drafts_changes_no_token(llm, folders):
    """The base itself, often right: its drafts end where the lower weights go on."""
    for options in (METHODS["greedy"], METHODS["sample"]):
        keywords = options | {"adapter": "base", "max_new_tokens": 20, "eos_token_id": []}
        for steps in (3, 9):
            plain = llm.generate([5, 9, 33], "pmpd", high_precision_steps=steps, **keywords)
            drafted = llm.generate(
                [5, 9, 33], "pmpd", high_precision_steps=steps, draft=str(folders[0]), draft_tokens=6, **keywords
            )
            assert drafted.token_ids == plain.token_ids and drafted.stats.accepted > 2


def test_batches_are_each_request_alone(llm):
    keywords = METHODS["contrast"] | {"high_precision_steps": 4, "max_new_tokens": 20}
    together = llm.generate(PROMPTS, "pmpd", **keywords)
    requests = [mindcold.Request(prompt, "pmpd", **keywords) for prompt in PROMPTS]
    assert [llm.generate(item).token_ids for item in requests] == [out.token_ids for out in together]
    mixed = llm.generate([item for request in requests for item in (request, mindcold.Request([5], "cold"))])
    assert [out.token_ids for out in mixed[::2]] == [out.token_ids for out in together]


def test_an_adapter_that_comes_later_is_in_both(folders):
    model, adapters = folders
    llm = mindcold.load(model, adapters[0])
    keywords = {"method": "pmpd", "high_precision_steps": 2, "max_new_tokens": 12, "eos_token_id": []}
    first = llm.generate([5, 9, 33], **keywords)
    llm.add_adapter("later", adapters[1])
    later = llm.generate([5, 9, 33], adapter="later", **keywords)
    assert [item.name for item in llm._precisions.engine("int8").adapters] == ["default", "later"]
    assert llm.generate([5, 9, 33], **keywords).token_ids == first.token_ids != later.token_ids
    alone = mindcold.load(model, adapters[1])
    assert alone.generate([5, 9, 33], **keywords).token_ids == later.token_ids


def test_memory_is_said(folders):
    llm = mindcold.load(folders[0])
    assert list(llm.weight_bytes) == ["float32"]
    plain = llm.generate([5], max_new_tokens=2).stats.weight_bytes
    assert plain == llm.weight_bytes["float32"] == llm.engine.weight_bytes
    both = llm.generate([5], "pmpd", max_new_tokens=2).stats.weight_bytes
    assert list(llm.weight_bytes) == ["float32", "int8"]
    assert both == sum(llm.weight_bytes.values()) and llm.weight_bytes["int8"] < plain
    same = llm.generate([5], "pmpd", low_dtype="float32", max_new_tokens=2).stats.weight_bytes
    assert same == plain and list(llm.weight_bytes) == ["float32", "int8"]  # kept once


@pytest.mark.parametrize(
    ("dtype", "method", "options", "message"),
    [
        ("bfloat16", "pmpd", {"low_dtype": "float32"}, "low_dtype: 'float32' is not lower than 'bfloat16'"),
        ("float32", "pmpd", {"low_dtype": "int4"}, "low_dtype: 'int4' is not one of float32, bfloat16, int8"),
        ("float32", "pmpd", {"high_precision_steps": 0}, "high_precision_steps: an integer >= 1"),
        ("float32", "greedy", {"low_dtype": "bfloat16"}, "low_dtype: method 'greedy' has no use for it"),
    ],
)
def test_what_cannot_be(llms, dtype, method, options, message):
    with pytest.raises(mindcold.MindcoldError, match=f"^{message}"):
        llms[dtype].generate([5, 9], method, **options)
