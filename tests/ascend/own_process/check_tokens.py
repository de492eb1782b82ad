"""The graph for Ascend, over stand-ins, gives the tokens of the graph for CPU."""

from unittest.mock import patch

import numpy as np
import pytest

import mindcold
from mindcold.engine import StepPlan
from mindcold.ops import rope, swiglu, tree_attention
from tests.ascend.stand_ins import ascend_graph
from tests.folders import write_adapter, write_model

SIZE = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
MODELS = {
    "llama": {},
    "qwen2": {"model_type": "qwen2", "attention_bias": True},
    "qwen3": {"model_type": "qwen3"},
    "window": {"model_type": "mistral", "sliding_window": 6},
}
PROMPTS = ([5, 9, 12, 3, 40, 41, 42, 5, 9], [7, 8])
METHODS = {
    "greedy": {"method": "greedy"},
    "cold": {"method": "cold", "alpha": 0.1, "beta": 0.5},
    "drafts": {"method": "cold", "alpha": 0.1, "beta": 0.5, "draft": "trigram"},
}


@pytest.fixture(scope="module", params=MODELS)
def folders(request, tmp_path_factory):
    folder, shape = tmp_path_factory.mktemp(request.param), SIZE | MODELS[request.param]
    targets = ("q_proj", "v_proj", "o_proj", "gate_proj", "down_proj")
    return write_model(folder / "model", spread=0.2, **shape), write_adapter(
        folder / "adapter", model=shape, targets=targets
    )


def decoded(folders, dtype, names, tokens=10):
    llm = mindcold.load(*folders, dtype=dtype)
    return [
        out.token_ids
        for name in names
        for out in llm.generate([list(prompt) for prompt in PROMPTS], max_new_tokens=tokens, **METHODS[name])
    ]


def test_tokens_are_the_engines(folders):
    names = ("greedy", "cold", "drafts")
    expected = decoded(folders, "float32", names)
    with ascend_graph(exact=True) as calls:
        found = decoded(folders, "float32", names)
    assert found == expected
    assert calls == {"rms_norm", "swiglu", "rotary_position_embedding", "fused_infer_attention_score"}
    drafts = slice(2 * len(PROMPTS), None)
    assert found[drafts] == expected[len(PROMPTS) : 2 * len(PROMPTS)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_scores_are_near_in_the_dtypes_of_the_device(folders, dtype):
    expected = logits(folders, dtype)
    with ascend_graph():
        found = logits(folders, dtype)
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < {"float32": 6e-3, "bfloat16": 6e-2, "int8": 1.5e-2}[dtype] * scale
    assert not np.array_equal(found, expected)


@pytest.mark.parametrize("operator", [rope, swiglu, tree_attention], ids=lambda operator: operator.name)
def test_bodies_of_other_dtypes_fit_together(folders, operator):
    """Where one operator is gone from MindSpore, its built-in body stands between the others, in float16."""
    expected = logits(folders, "int8")
    plain = next(body for body in operator.bodies if body.name == "builtin")
    with ascend_graph(), patch.object(operator, "_chosen", plain):
        found = logits(folders, "int8")
    assert np.abs(found - expected).max() < 1.5e-2 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pool_that_grows_keeps_its_keys(folders, dtype):
    with ascend_graph():
        once, grown = (continued(folders, dtype, slots) for slots in (100, 1500))
    assert np.array_equal(once, grown)


def continued(folders, dtype, slots):
    """Logits after a prompt whose keys were written before the pool had so many slots."""
    engine = mindcold.load(*folders, dtype=dtype).engine
    engine.reserve(100)
    sequence, plan, more = engine.open([0], 20), StepPlan(), StepPlan()
    plan.extend(sequence, PROMPTS[0])
    engine.logits(plan)
    sequence.commit(len(PROMPTS[0]))
    engine.reserve(slots)
    assert {cache.dtype for pair in engine._pool.caches for cache in pair} == {engine._factory.cache_dtype}
    more.extend(sequence, [3])
    return engine.logits(more)


def logits(folders, dtype):
    engine = mindcold.load(*folders, dtype=dtype).engine
    engine.reserve(100)
    plan = StepPlan()
    for adapter in (-1, 0):
        plan.extend(engine.open([adapter], 20), PROMPTS[0], draft=[3, 4, 5], parents=[-1, -1, 0])
    return engine.logits(plan)
