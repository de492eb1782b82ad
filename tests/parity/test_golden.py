"""mindcold against golden results of transformers + peft: logits and tokens of every method, in float32."""

import json
from pathlib import Path

import numpy as np
import pytest

import mindcold
from tests.parity.peer import ALPHA, BETA, CASES, NEW_TOKENS

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "parity"
METHODS = {
    "greedy_base": {"method": "greedy", "adapter": "base"},
    "greedy": {"method": "greedy"},
    "cold": {"method": "cold", "alpha": ALPHA, "beta": BETA},
}


def load_case(folder):
    """The loaded model of a case and its golden arrays."""
    llm = mindcold.load(folder / "model", folder / "adapter", dtype="float32")
    if (folder / "other").is_dir():
        llm.add_adapter("other", folder / "other")
    with np.load(folder / "golden.npz", allow_pickle=False) as arrays:
        return llm, dict(arrays)


def check_case(llm, golden, batch=True):
    """Everything a case's golden arrays say about the library."""
    prompts = [golden["prompt_0"].tolist(), golden["prompt_1"].tolist()]
    for i, prompt in enumerate(prompts):
        check_logits(llm.logits(prompt, "base"), golden[f"logits_base_{i}"])
        check_logits(llm.logits(prompt), golden[f"logits_adapter_{i}"])
    for name, settings in METHODS.items():
        expected = [golden[f"{name}_{i}"].tolist() for i in (0, 1)]
        options = settings | {"max_new_tokens": NEW_TOKENS, "eos_token_id": []}
        assert [llm.generate(prompt, **options).token_ids for prompt in prompts] == expected, name
        if batch:
            assert [out.token_ids for out in llm.generate(prompts, **options)] == expected, f"{name}, as a batch"


def check_logits(found, expected):
    """Within 1e-4 of the largest logit."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    return load_case(FIXTURES / request.param)


def test_logits_and_tokens(case):
    check_case(*case)


@pytest.mark.parametrize("name", list(CASES))
def test_beam_search(name):
    """As `generate(num_beams=...)` has it, with and without ends of text and length penalties."""
    llm, _ = load_case(FIXTURES / name)
    for case in json.loads((FIXTURES / name / "beams.json").read_text()):
        assert llm.generate(case["prompt"], "beam", **case["options"]).token_ids == case["token_ids"], case["options"]


@pytest.fixture(scope="module")
def llama():
    return load_case(FIXTURES / "llama")


def test_every_adapter_shows_in_its_logits(llama):
    llm, golden = llama
    check_logits(llm.logits(golden["prompt_1"].tolist(), "other"), golden["logits_other_1"])
    assert np.abs(golden["logits_other_1"] - golden["logits_adapter_1"]).max() > 0.1
    assert np.abs(golden["logits_base_1"] - golden["logits_adapter_1"]).max() > 0.1


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_prefill_in_chunks_equals_prefill_at_once(name):
    llm, golden = load_case(FIXTURES / name)
    prompt = golden["prompt_1"].tolist()
    for chunk in (1, 3, 7):
        check_logits(llm.logits(prompt, chunk=chunk), golden["logits_adapter_1"])
    for method in ("greedy", "cold"):
        for chunk in (2, 6):
            out = llm.generate(prompt, max_new_tokens=NEW_TOKENS, eos_token_id=[], prefill_chunk=chunk, method=method)
            assert out.token_ids == golden[f"{method}_1"].tolist()
            streams = 2 if method == "cold" else 1
            assert out.stats.target_passes >= len(prompt) * streams // chunk + NEW_TOKENS - 1


def test_two_adapters_and_the_base_in_one_batch(llama):
    llm, golden = llama
    first, second = golden["prompt_0"].tolist(), golden["prompt_1"].tolist()
    options = {"max_new_tokens": NEW_TOKENS, "eos_token_id": []}

    def run(names):
        return [out.token_ids for out in llm.generate([first, second, first, second], adapter=names, **options)]

    own, other, base = "default", "other", "base"
    expected = {
        own: [golden["greedy_0"].tolist(), golden["greedy_1"].tolist()],
        other: [golden["greedy_other_0"].tolist(), golden["greedy_other_1"].tolist()],
        base: [golden["greedy_base_0"].tolist(), golden["greedy_base_1"].tolist()],
    }
    for names in ([own, other, base, base], [other, own, base, base], [base, base, own, other]):
        assert run(names) == [expected[name][i % 2] for i, name in enumerate(names)]


def test_more_prompts_than_run_together(llama):
    llm, golden = llama
    prompts = [golden[f"prompt_{i % 2}"].tolist() for i in range(5)]
    llm.max_batch, kept = 2, llm.max_batch
    try:
        outs = llm.generate(prompts, "cold", max_new_tokens=NEW_TOKENS, eos_token_id=[])
    finally:
        llm.max_batch = kept
    assert [out.token_ids for out in outs] == [golden[f"cold_{i % 2}"].tolist() for i in range(5)]


def test_the_builtin_bodies_give_the_same_tokens():
    for name in ("llama-scaled", "mistral"):
        folder = FIXTURES / name
        llm = mindcold.load(folder / "model", folder / "adapter", dtype="float32", backend="builtin")
        with np.load(folder / "golden.npz", allow_pickle=False) as golden:
            out = llm.generate(golden["prompt_0"].tolist(), "cold", max_new_tokens=NEW_TOKENS, eos_token_id=[])
            assert out.token_ids == golden["cold_0"].tolist()
