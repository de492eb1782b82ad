"""Which modules an adapter has, with which rank and scaling, by the rules of PEFT."""

import numpy as np
import pytest

from mindcold.adapter_formats import read_adapter
from mindcold.config import parse_config
from mindcold.errors import TrainingError
from mindcold.training.export import export_adapter
from mindcold.training.lora import LoraSettings
from mindcold.training.model import TrainingLM, initial_weights
from tests.folders import LLAMA

LEAVES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.fixture(scope="module")
def two_layers():
    return parse_config(LLAMA, "test")


def test_targets_are_names_a_pattern_or_all(two_layers):
    def chosen(targets):
        return set(LoraSettings(2, 4.0, targets).modules(two_layers))

    both = {f"model.layers.{i}." for i in range(2)}
    assert chosen(("q_proj", "mlp.up_proj")) == {
        f"{layer}{name}" for layer in both for name in ("self_attn.q_proj", "mlp.up_proj")
    }
    assert chosen(r".*\.1\.mlp\..*") == {f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")}
    everything = chosen("all-linear")
    assert chosen(("v_proj", "lm_head")) == {*(f"{layer}self_attn.v_proj" for layer in both), "lm_head"}
    assert len(everything) == 14 and {name.rsplit(".", 1)[-1] for name in everything} == LEAVES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": ("q_proj", "k_proof")}, "target_modules: k_proof"),
        ({"targets": "nothing"}, "selects no linear layer"),
        ({"targets": "("}, "not a regular expression"),
        ({"targets": ()}, "selects no linear layer"),
        ({"targets": ("lm_head",), "saved": ("lm_head",)}, "target_modules: modules_to_save has all of them"),
        ({"targets": ("embed_tokens",)}, "embed_tokens: a low-rank update of the embedding is not supported"),
        ({"saved": ("norm",)}, "modules_to_save: 'norm' is not supported, only lm_head and embed_tokens"),
        ({"saved": ("lm_head", "q_proj")}, "modules_to_save: 'q_proj' is not supported"),
        ({"rank": 0}, "lora_rank"),
        ({"alpha": -1.0}, "lora_alpha"),
        ({"dropout": 1.0}, "lora_dropout"),
        ({"rank_pattern": {"q_proj": 0}}, "rank_pattern"),
        ({"rank_pattern": {"q_proj": 1.5}}, "rank_pattern"),
    ],
)
def test_what_selects_nothing_is_refused(two_layers, changes, message):
    with pytest.raises(TrainingError, match=message):
        LoraSettings(**{"rank": 2, "alpha": 4.0, "targets": ("q_proj",)} | changes).modules(two_layers)


def test_the_initial_update_is_zero_and_depends_on_the_seed(two_layers):
    first, again, other = (LoraSettings(2, 4.0, "all-linear", seed).initial(two_layers) for seed in (1, 1, 2))
    name = "model.layers.1.mlp.down_proj"
    assert first[f"{name}.lora_A.weight"].shape == (2, LLAMA["intermediate_size"])
    assert not any(value.any() for key, value in first.items() if "lora_B" in key)
    assert np.abs(first[f"{name}.lora_A.weight"]).max() <= LLAMA["intermediate_size"] ** -0.5
    assert all(np.array_equal(value, again[key]) for key, value in first.items())
    assert not np.array_equal(first[f"{name}.lora_A.weight"], other[f"{name}.lora_A.weight"])


def test_patterns_and_rslora_are_read_back_as_they_were_trained(tmp_path, two_layers):
    lora = LoraSettings(
        *(4, 6.0, "all-linear"),
        rslora=True,
        rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.up_proj": 3},
        alpha_pattern={"down_proj": 16},
    )
    modules = lora.modules(two_layers)
    assert modules["model.layers.0.self_attn.q_proj"].rank == 2
    assert modules["model.layers.1.mlp.up_proj"].rank == 3 and modules["model.layers.0.mlp.up_proj"].rank == 4
    assert modules["model.layers.0.mlp.down_proj"].scaling == 16 / 2
    network = TrainingLM(two_layers, initial_weights(two_layers, 0), lora)
    rng, trained = np.random.default_rng(0), {}
    import mindspore as ms

    for name, item in network.trainable.items():
        trained[name] = rng.standard_normal(item.shape).astype(np.float32)
        item.set_data(ms.Tensor(trained[name]))
    export_adapter(network, two_layers, "base", tmp_path)
    adapter = read_adapter(tmp_path, two_layers)
    assert set(adapter.pairs) == set(modules)
    for module, pair in adapter.pairs.items():
        expected = trained[f"{module}.lora_B.weight"] @ trained[f"{module}.lora_A.weight"] * modules[module].scaling
        np.testing.assert_allclose(pair.b @ pair.a, expected, rtol=1e-4, atol=1e-5)
