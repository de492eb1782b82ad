"""A legacy Llama computing in place: the tokens of mindcold's own engine, and the network untouched."""

from importlib import import_module
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest

import mindcold
import mindcold.mindformers as mf
from tests.folders import write_adapter, write_model
from tests.mindformers.networks import legacy_network

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IDS = [[5, 9, 23, 77, 0, 45, 8], [31, 64, 12, 80, 7]]  # 0 is the network's pad_token_id
GREEDY = {"do_sample": False, "eos_token_id": [-1], "pad_token_id": 0}
LIMITS = {"max_new_tokens": 64, "eos_token_id": -1}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("llama")
    folder = write_model(root / "model")
    adapters = {
        "one": write_adapter(root / "one", seed=5, targets=ALL),
        "two": write_adapter(root / "two", seed=6, rank=3, targets=("q_proj", "down_proj")),
    }
    ours = mindcold.load(folder, dtype="float32")
    for name, path in adapters.items():
        ours.add_adapter(name, path)
    return SimpleNamespace(folder=folder, ours=ours, adapters=adapters)


def content(network):
    return {item.name: item.asnumpy().tobytes() for item in network.get_parameters()}, dict(network.cells_and_names())


@patch("mindcold.mindformers.uncached_network.MAX_BATCH", 3)
def test_tokens_are_those_of_our_own_engine(case):
    network = legacy_network(case.folder)
    before, text = content(network), [IDS[0][3:4] + IDS[0][5:]]  # MindFormers itself would hide a 0 inside of a text
    stock = network.generate(text, max_new_tokens=12, **GREEDY)[0].tolist()
    mf.enable(network, case.adapters, backend="network", max_batch=2)
    llm = mf.decoder_of(network).llm
    methods = [
        {"adapter": "base"},
        {"method": "cold", "adapter": "one", "draft": "trigram", "draft_tokens": 2},
        {"method": "cold", "adapter": "two"},
        {"method": "sample", "adapter": "two", "seed": 3},
        {"method": "beam", "adapter": "one", "num_beams": 2},
    ]
    requests = [mindcold.Request(IDS[i > 2], **options, **LIMITS) for i, options in enumerate(methods)]
    expected = [each.token_ids for each in case.ours.generate(requests)]
    together = llm.generate(requests)
    assert [each.token_ids for each in together] == expected and all(len(ids) == 64 for ids in expected)
    assert together[1].stats.accepted > 0
    shared = [[*IDS[0] * 6, i] for i in (3, 4)]
    found, wanted = (each.generate(shared, "cold", adapter="two", max_new_tokens=8) for each in (llm, case.ours))
    assert [each.token_ids for each in found] == [each.token_ids for each in wanted]
    found, wanted = (each.logits(IDS[0] * 3, adapter="one", chunk=6) for each in (llm, case.ours))
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()
    stream = llm.stream(IDS[0], "cold", adapter="two", **LIMITS)
    first = [next(stream).id for _ in range(5)]
    llm.add_adapter("late", case.adapters["one"])  # what was written before stays
    assert [*first, *(token.id for token in stream)] == expected[2]
    keywords = {**GREEDY, "mindcold": {"method": "greedy", "adapter": "base"}}
    assert network.generate(text, max_new_tokens=12, **keywords)[0].tolist() == stock
    mf.disable(network)
    assert content(network) == before and not [phase for phase in network.compile_cache if "mindcold" in phase]
    assert network.generate(text, max_new_tokens=12, **GREEDY)[0].tolist() == stock


def test_fused_layers_are_interleaved(case):
    network = legacy_network(case.folder, qkv_concat=True)
    llm = mf.decoder_of(mf.enable(network, case.adapters, backend="network")).llm
    found, wanted = (each.logits(IDS[1], adapter="one") for each in (llm, case.ours))
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_auto_is_the_network_on_ascend_and_the_engine_elsewhere(case):
    network = legacy_network(case.folder)
    module = import_module("mindcold.mindformers.enable")
    assert not module.decoder_for(network)._in_place
    ascend = patch.object(module.ms, "get_context", return_value="Ascend")
    with patch.object(module, "_be_runnable"), ascend:
        assert module.decoder_for(network)._in_place
        assert not module.decoder_for(network, model=case.folder)._in_place


def test_networks_that_cannot_are_refused(case):
    network = legacy_network(case.folder)
    network.config.use_past = True
    with pytest.raises(mf.MindFormersError, match="use_past"):
        mf.enable(network, backend="network")
    with pytest.raises(mf.MindFormersError, match="dtype"):
        mf.enable(network, backend="network", dtype="int8")
