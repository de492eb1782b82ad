"""A new adapter and a pool that grows: what is compiled stays, and gives what a fresh engine gives."""

import pytest
from mindspore.graph import api

import mindcold
from tests.folders import write_adapter, write_model

PROMPT = [5, 17, 3, 88, 41]
NEW = {"max_new_tokens": 6, "eos_token_id": []}


def fresh(model, adapter):
    llm = mindcold.load(model, adapter)
    return llm.generate(PROMPT, "cold", **NEW).token_ids, llm.generate(PROMPT, adapter="base", **NEW).token_ids


@pytest.mark.parametrize(("targets", "compiles"), [(("q_proj", "down_proj"), False), (("q_proj", "lm_head"), True)])
def test_adding_an_adapter(targets, compiles, tmp_path):
    model, first = write_model(tmp_path / "model"), write_adapter(tmp_path / "first")
    second = write_adapter(tmp_path / "second", seed=2, rank=3, targets=targets)
    llm = mindcold.load(model, first)
    before = llm.generate(PROMPT, "cold", **NEW).token_ids, llm.generate(PROMPT, adapter="base", **NEW).token_ids
    assert before == fresh(model, first)
    known = set(api.ms_compile_cache)
    llm.add_adapter("second", second)
    found = llm.generate(PROMPT, "cold", adapter="second", **NEW).token_ids
    assert bool(set(api.ms_compile_cache) - known) == compiles
    assert found == fresh(model, second)[0] != before[0]
    again = llm.generate(PROMPT, "cold", **NEW).token_ids, llm.generate(PROMPT, adapter="base", **NEW).token_ids
    assert again == before


def test_a_pool_that_grows_while_sequences_are_open(tmp_path):
    model, adapter = write_model(tmp_path / "model", max_position_embeddings=4096), write_adapter(tmp_path / "adapter")
    llm = mindcold.load(model, adapter, max_batch=2)
    expected = llm.generate(PROMPT, "cold", max_new_tokens=12, eos_token_id=[]).token_ids
    stream = llm.stream(PROMPT, "cold", max_new_tokens=12, eos_token_id=[])
    tokens = [next(stream).id for _ in range(3)]
    llm.generate(PROMPT, max_new_tokens=1, eos_token_id=[])
    known, slots = set(api.ms_compile_cache), llm.engine._pool.slots
    llm.generate(PROMPT, max_new_tokens=1, min_new_tokens=1, eos_token_id=[])
    llm.engine.reserve(4 * slots)
    assert llm.engine._pool.slots > slots
    tokens += [token.id for token in stream]
    assert tokens == expected
    assert set(api.ms_compile_cache) == known
