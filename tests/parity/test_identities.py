"""What must hold whatever the weights are."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import mindcold
from mindcold.adapter_formats.peft import PREFIX
from tests.folders import write_adapter, write_model

PROMPT = [5, 17, 3, 88, 41, 9, 60, 2, 33]
OPTIONS = {"max_new_tokens": 40, "eos_token_id": []}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("identities")
    return write_model(root / "model", seed=3), write_adapter(root / "adapter", seed=4)


@pytest.fixture(scope="module")
def llm(folders):
    return mindcold.load(*folders)


def tokens(llm, method, **options):
    return llm.generate(PROMPT, method, **(OPTIONS | options)).token_ids


def test_beta_zero_is_lora_greedy(llm):
    plain = tokens(llm, "greedy")
    for alpha in (0.001, 0.1, 1.0):
        assert tokens(llm, "cold", beta=0.0, alpha=alpha) == plain
    assert tokens(llm, "cold", beta=1.0, alpha=0.01) != plain  # and the contrast does something


def test_alpha_one_is_lora_greedy(llm):
    assert tokens(llm, "cold", alpha=1.0, beta=2.0) == tokens(llm, "greedy")


def test_adapter_without_effect_is_the_base(folders, tmp_path):
    model, adapter = folders
    zero = shutil.copytree(adapter, tmp_path / "zero")
    raw = load_file(zero / "adapter_model.safetensors")
    raw = {name: value * (0 if "lora_B" in name else 1) for name, value in raw.items()}
    save_file(raw, zero / "adapter_model.safetensors")
    llm = mindcold.load(model, zero)
    np.testing.assert_array_equal(llm.logits(PROMPT), llm.logits(PROMPT, "base"))
    base = tokens(llm, "greedy", adapter="base")
    assert tokens(llm, "greedy") == base
    assert tokens(llm, "cold", beta=3.0, alpha=0.001) == base
    assert tokens(llm, "cold", adapter="base") == base


def merge(model, adapter, factor, target):
    """The model with W + factor * scaling * B A written as plain weights."""
    shutil.copytree(model, target)
    weights, pairs = load_file(model / "model.safetensors"), load_file(adapter / "adapter_model.safetensors")
    config = json.loads((adapter / "adapter_config.json").read_text())
    scaling = factor * config["lora_alpha"] / config["r"]
    for name in {name.rsplit(".", 2)[0] for name in pairs}:
        key = f"{name.removeprefix(PREFIX)}.weight"
        product = pairs[f"{name}.lora_B.weight"].astype(np.float64) @ pairs[f"{name}.lora_A.weight"]
        weights[key] = (weights[key] + scaling * product).astype(np.float32)
    save_file(weights, target / "model.safetensors")
    return target


@pytest.mark.parametrize("factor", [1, 2])
def test_merged_weights_equal_the_adapter_and_scaling_is_linear(folders, tmp_path, factor):
    model, adapter = folders
    scaled = shutil.copytree(adapter, tmp_path / "scaled")
    config = json.loads((scaled / "adapter_config.json").read_text())
    config["lora_alpha"] *= factor
    (scaled / "adapter_config.json").write_text(json.dumps(config))
    merged = mindcold.load(merge(model, adapter, factor, tmp_path / "merged"))
    llm = mindcold.load(model, scaled)
    expected = merged.logits(PROMPT)
    np.testing.assert_allclose(llm.logits(PROMPT), expected, atol=1e-4 * np.abs(expected).max())
    assert tokens(llm, "greedy") == tokens(merged, "greedy")


def test_sampling_at_low_temperature_is_greedy_and_a_seed_repeats(llm):
    assert tokens(llm, "sample", temperature=1e-4) == tokens(llm, "greedy")
    assert tokens(llm, "cold", do_sample=True, temperature=1e-4) == tokens(llm, "cold")
    first = tokens(llm, "sample", seed=3)
    assert tokens(llm, "sample", seed=3) == first != tokens(llm, "sample", seed=4)
    assert tokens(llm, "sample", top_k=1) == tokens(llm, "greedy")


def test_two_streams_in_turn_do_not_disturb_each_other(llm):
    expected = tokens(llm, "cold"), tokens(llm, "greedy")
    first, second = llm.stream(PROMPT, "cold", **OPTIONS), llm.stream(PROMPT, "greedy", **OPTIONS)
    found = [], []
    for a, b in zip(first, second, strict=True):
        found[0].append(a.id)
        found[1].append(b.id)
        if len(found[0]) == 5:  # a larger request in between makes the pool grow under open slots
            llm.generate([PROMPT * 20] * 8, "cold", max_new_tokens=3, eos_token_id=[])
    assert (found[0], found[1]) == expected


def test_an_abandoned_stream_gives_its_cells_back(llm):
    before = llm.engine.used_slots
    stream = llm.stream(PROMPT, "cold", **OPTIONS)
    next(stream)
    assert llm.engine.used_slots > before
    stream.close()
    assert llm.engine.used_slots == before
