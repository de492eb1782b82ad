"""mcore Qwen2 and Qwen3 computing in place, under stand-ins: our own engine's tokens, and nothing left behind."""

from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest

import mindcold
import mindcold.mindformers as mf
from mindcold.engine import Engine, HostCache, StepPlan
from mindcold.errors import RequestError
from mindcold.mindformers.paged_network import HIDDEN, paged_inputs
from tests.folders import write_adapter, write_model
from tests.mindformers.cpu_stand_ins import stand_ins
from tests.mindformers.networks import mcore_network

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
SHAPES = {
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True, "num_key_value_heads": 1},
}
IDS = [[5, 9, 23, 77, 30, 45, 8], [31, 64, 12, 80, 7]]
GREEDY = {"do_sample": False, "eos_token_id": [-1], "pad_token_id": 0}
LIMITS = {"max_new_tokens": 64, "eos_token_id": -1}
METHODS = [
    {"adapter": "base"},
    {"method": "cold", "adapter": "one", "draft": "trigram", "draft_tokens": 6},
    {"method": "cold", "adapter": "two"},
    {"method": "greedy", "adapter": "two", "draft": "trigram", "draft_tokens": 3},
    {"method": "sample", "adapter": "one", "seed": 3},
]


@pytest.fixture(scope="module", params=SHAPES)
def case(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    shape = SHAPES[request.param]
    folder = write_model(root / "model", **shape)
    adapters = {
        "one": write_adapter(root / "one", seed=5, targets=ALL, model=shape),
        "two": write_adapter(root / "two", seed=6, rank=3, targets=("k_proj", "up_proj"), model=shape),
    }
    ours = mindcold.load(folder, dtype="float32")
    for name, path in adapters.items():
        ours.add_adapter(name, path)
    with stand_ins():
        network = mcore_network(folder)
        stock = network.generate(IDS[:1], max_new_tokens=64, **GREEDY)[0].tolist()
        network.key_cache = network.value_cache = None
        before = content(network)
        mf.enable(network, adapters, backend="network", max_batch=4)
        llm = mf.decoder_of(network).llm
        methods = METHODS[: 3 if request.param == "qwen2" else None]
        requests = [mindcold.Request(IDS[i % 2], **options, **LIMITS) for i, options in enumerate(methods)]
        yield SimpleNamespace(**locals())


def content(network):
    """What the network is: its weights, its cells, the flags of their graphs."""
    weights = {item.name: item.asnumpy().tobytes() for item in network.get_parameters() if "cache" not in item.name}
    cells = dict(network.cells_and_names())
    flags = {name: dict(vars(cell).get("_func_graph_flags", {})) for name, cell in cells.items()}
    return weights, cells, flags, network.training, network.phase


def test_tokens_are_those_of_our_own_engine(case):
    found, expected = (each.generate(case.requests) for each in (case.llm, case.ours))
    assert [each.token_ids for each in found] == [each.token_ids for each in expected]
    assert all(len(each.token_ids) == 64 for each in found) and found[1].stats.accepted > 0
    assert case.stock == IDS[0] + found[0].token_ids  # and of the network's own
    assert case.llm.generate(case.requests[1]).token_ids == found[1].token_ids


@pytest.mark.parametrize("chunk", [1, 5, 256])
def test_logits_are_near(case, chunk):
    found, expected = (each.logits(IDS[0] * 6, adapter="one", chunk=chunk) for each in (case.llm, case.ours))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_prompts_with_a_common_beginning_and_more_than_the_cache_holds(case):
    prompts = [IDS[0] * 8 + [i] for i in range(6)]  # 6 x 2 streams of 96 slots, 1024 there are
    limits = {"method": "cold", "max_new_tokens": 24, "eos_token_id": -1}
    with patch.object(case.llm, "max_batch", 6):
        found = case.llm.generate(prompts, **limits)
    expected = case.ours.generate(prompts, **limits)
    assert [each.token_ids for each in found] == [each.token_ids for each in expected]


def test_a_late_adapter_leaves_the_cache_as_it_is(case):
    if case.shape["model_type"] == "qwen2":
        return  # one is enough
    stream = case.llm.stream(IDS[0], "cold", adapter="one", max_new_tokens=8, eos_token_id=-1)
    first, cache = next(stream).id, case.llm.engine._network.caches
    case.llm.add_adapter("late", case.adapters["two"])
    expected = case.ours.generate(IDS[0], "cold", adapter="one", max_new_tokens=8, eos_token_id=-1).token_ids
    assert [first, *(token.id for token in stream)] == expected
    assert [*map(id, case.llm.engine._network.caches)] == [*map(id, cache)]


def test_what_needs_more_than_pages_is_refused(case):
    for method in ("beam", "cdlh", "cdsl"):
        with pytest.raises(RequestError, match="use backend='engine'"):
            case.llm.generate(IDS[0], method, max_new_tokens=4)
    with patch.object(case.llm.engine._factory, "host_cache", HostCache(16, 64, branches=False)):
        engine = Engine(case.llm.engine._factory)
        with pytest.raises(RequestError, match="64 slots"):
            engine.reserve(65)


def test_the_network_is_itself_between_steps_and_after_errors(case):
    assert content(case.network) == case.before and case.network.key_cache is None
    broken = patch.object(type(case.network), "prepare_inputs_for_generation_mcore", side_effect=KeyError("broken"))
    with broken, pytest.raises(KeyError, match="broken"):
        case.llm.generate(IDS[0], max_new_tokens=4)
    assert content(case.network) == case.before
    expected = case.ours.generate(IDS[0], max_new_tokens=8, eos_token_id=-1).token_ids
    assert case.llm.generate(IDS[0], max_new_tokens=8, eos_token_id=-1).token_ids == expected


def test_a_device_that_ignores_the_mask_is_refused(case):
    network = case.llm.engine._network
    network._check_mask()
    with patch("mindcold.mindformers.paged_network.HIDDEN", 0.0), pytest.raises(mf.MindFormersError, match="the mask"):
        network._check_mask()


def test_another_network_and_this_one_afterwards(case):
    if case.shape["model_type"] == "qwen3":  # one is enough
        other = mcore_network(case.folder)
        assert other.generate(IDS[:1], max_new_tokens=12, **GREEDY)[0].tolist() == case.stock[:19]
    mf.disable(case.network)
    assert content(case.network) == case.before
    assert not [phase for phase in case.network.compile_cache if "mindcold" in phase]
    assert case.network.generate(IDS[:1], max_new_tokens=64, **GREEDY)[0].tolist() == case.stock


def test_hand_over_gives_the_same(case):
    network = mf.enable(case.network, case.adapters, backend="engine", max_batch=4)
    llm = mf.decoder_of(network).llm
    found, expected = (each.generate(case.requests) for each in (llm, case.ours))
    assert [each.token_ids for each in found] == [each.token_ids for each in expected]
    keywords = {**GREEDY, "mindcold": {"method": "greedy", "adapter": "base"}}
    assert network.generate(IDS[:1], max_new_tokens=64, **keywords)[0].tolist() == case.stock
    mf.disable(network)


def test_inputs_of_two_segments():
    engine = Engine(SimpleNamespace(host_cache=HostCache(4, 32, False), cache_shape=None, cache_dtype=None))
    engine.reserve(20)
    first, second, plan = engine.open([-1], 3), engine.open([0], 9), StepPlan()
    second.length = 4
    plan.extend(first, [7])
    plan.extend(second, [8], [9, 6], [-1, 0])
    inputs = paged_inputs(plan.row_matrix(16, [])[:, :4], 4)
    assert inputs["input_ids"].tolist() == [7, 8, 9, 6] and inputs["position_ids"].tolist() == [0, 4, 5, 6]
    assert inputs["q_seq_lens"].tolist() == [1, 3] and inputs["valid_length_each_example"].tolist() == [1, 7]
    assert inputs["block_tables"].tolist() == [[0, -1], [1, 2]] and inputs["slot_mapping"].tolist() == [0, 8, 9, 10]
    seen = [[1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1]]
    assert (inputs["attention_mask"] == np.where(seen, 0, HIDDEN)).all()
