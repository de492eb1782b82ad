"""A legacy Llama computing in place: the tokens of mindcold's own engine, and the network untouched."""

from types import SimpleNamespace

import numpy as np
import pytest

import mindcold
import mindcold.mindformers as mf
from tests.folders import write_adapter, write_model
from tests.mindformers.networks import legacy_network

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
IDS = [[5, 9, 23, 77, 0, 45, 8], [31, 64, 12, 80, 7]]
GREEDY = {"do_sample": False, "eos_token_id": [-1], "pad_token_id": 0}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("llama")
    folder = write_model(root / "model", num_key_value_heads=2)
    adapters = [
        write_adapter(root / "one", seed=5, targets=ALL),
        write_adapter(root / "two", seed=6, rank=3, targets=("q_proj", "down_proj")),
    ]
    ours = mindcold.load(folder, dtype="float32")
    for name, path in zip(("one", "two"), adapters, strict=True):
        ours.add_adapter(name, path)
    return SimpleNamespace(folder=folder, ours=ours, adapters=dict(zip(("one", "two"), adapters, strict=True)))


def parameters(network):
    return {item.name: item.asnumpy().tobytes() for item in network.get_parameters()}


def test_tokens_are_those_of_our_own_engine(case):
    network = legacy_network(case.folder)
    before, cells = parameters(network), dict(network.cells_and_names())
    stock = network.generate(IDS[:1], max_new_tokens=12, **GREEDY)[0].tolist()
    mf.enable(network, case.adapters, backend="network", max_batch=4)
    llm = mf.decoder_of(network).llm
    cases = [
        {"adapter": "base"},
        {"adapter": "two"},
        {"method": "cold", "adapter": "one"},
        {"method": "cold", "adapter": "one", "draft": "trigram", "draft_tokens": 5},
        {"method": "sample", "adapter": "two", "seed": 3},
        {"method": "beam", "adapter": "one", "num_beams": 3},
    ]
    limits = {"max_new_tokens": 64, "eos_token_id": -1}
    for options in cases:
        found, expected = (each.generate(IDS[0], **options, **limits) for each in (llm, case.ours))
        assert found.token_ids == expected.token_ids and len(found.token_ids) == 64, options
    requests = [mindcold.Request(IDS[i % 2], **options, **limits) for i, options in enumerate(cases)]
    found, expected = (each.generate(requests) for each in (llm, case.ours))
    assert [output.token_ids for output in found] == [output.token_ids for output in expected]
    found, expected = (each.logits(IDS[0] * 3, adapter="one", chunk=6) for each in (llm, case.ours))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    mf.disable(network)
    assert parameters(network) == before and dict(network.cells_and_names()) == cells
    assert network.generate(IDS[:1], max_new_tokens=12, **GREEDY)[0].tolist() == stock
