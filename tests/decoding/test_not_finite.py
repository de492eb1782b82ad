"""Weights that overflow: one error that says so, in every method, and nobody else notices."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mindcold
from mindcold.errors import RequestError
from tests.folders import write_adapter, write_model

METHODS = {
    "greedy": {},
    "sample": {"seed": 3},
    "cold": {},
    "aded": {},
    "lookahead": {},
    "scd": {},
    "best_of": {"num_candidates": 2},
    "pmpd": {"high_precision_steps": 1},
    "beam": {"num_beams": 2},
    "cdlh": {"lookahead": 2, "candidates": 2},
    "cdsl": {"lookahead": 2, "candidates": 2, "draft": "base"},
}
OVERFLOW = r"^scores: not a number, for logits are NaN or infinite; weights of the model or the adapter"
PROMPT = [5, 6, 7, 8]


def load(folder, backend):
    """A model with a good adapter, and one whose update overflows."""
    found = mindcold.load(write_model(folder / "model"), write_adapter(folder / "good"), backend=backend)
    found.add_adapter("large", scaled(write_adapter(folder / "large"), 1e30))
    return found


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load(tmp_path_factory.mktemp("overflow"), "auto")


def scaled(adapter, factor):
    """An adapter folder with its weights multiplied."""
    path = adapter / "adapter_model.safetensors"
    save_file({name: value * np.float32(factor) for name, value in load_file(path).items()}, path)
    return adapter


@pytest.mark.parametrize("method", METHODS)
def test_a_request_ends_with_an_error_that_says_so(llm, method):
    options = METHODS[method] | {"max_new_tokens": 4}
    before = llm.generate(PROMPT, method, **options).token_ids
    with pytest.raises(RequestError, match=OVERFLOW):
        llm.generate(PROMPT, method, adapter="large", **options)
    assert llm.generate(PROMPT, method, **options).token_ids == before


@pytest.mark.parametrize("backend", ["auto", "builtin"])
def test_others_in_the_batch_go_on(backend, tmp_path):
    llm = load(tmp_path, backend)
    alone = llm.generate(PROMPT, max_new_tokens=6).token_ids
    bad, good = llm.generate([PROMPT, PROMPT], adapter=["large", "default"], max_new_tokens=6)
    assert good.token_ids == alone and bad.finish_reason == "error"
    assert llm.engine.used_slots == 0


def test_an_amateur_that_overflows_counts_where_it_is_read(tmp_path):
    """Of a contrast with the base, whose output projection overflows in a row; the adapter replaces it."""
    model = write_model(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    head = weights["lm_head.weight"].copy()
    weights["lm_head.weight"][7] = 3e38
    save_file(weights, model / "model.safetensors")
    adapter = write_adapter(tmp_path / "adapter", modules_to_save=["lm_head"])
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file(tensors | {"base_model.model.lm_head.weight": head}, adapter / "adapter_model.safetensors")
    llm = mindcold.load(model, adapter)
    assert llm.generate(PROMPT, max_new_tokens=3).finish_reason == "length"
    assert llm.generate(PROMPT, "cold", beta=0, max_new_tokens=3).finish_reason == "length"
    with pytest.raises(RequestError, match=OVERFLOW):
        llm.generate(PROMPT, "cold", beta=0.5, max_new_tokens=3)
