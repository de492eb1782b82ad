"""Short runs on a tiny network: the loss falls, LoRA leaves the base alone, a resumed run is the same run."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from mindcold.adapter_formats import read_adapter
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.model.shapes import weight_shapes
from mindcold.training.export import export_adapter, export_model
from mindcold.training.model import LoraSettings, TrainingLM, initial_weights
from mindcold.training.trainer import CHECKPOINT, LOSS_LOG, TrainingSettings


def values(network) -> dict[str, np.ndarray]:
    return {item.name: item.asnumpy().copy() for item in network.get_parameters()}


def test_loss_falls_and_the_model_can_be_read_back(tmp_path, config, make_trainer):
    trainer = make_trainer(tmp_path / "run")
    losses = trainer.train()
    assert losses[0] == pytest.approx(np.log(config.vocab_size), abs=0.1)  # fresh weights know nothing
    assert losses[-1] < 0.8 * losses[0]
    with (tmp_path / "run" / LOSS_LOG).open(encoding="utf-8") as file:
        logged = [float(row["loss"]) for row in csv.DictReader(file)]
    assert logged == pytest.approx(losses, abs=1e-5)

    export_model(trainer.network, config, tmp_path / "model")
    assert ModelConfig.from_folder(tmp_path / "model").to_hf() == config.to_hf()
    checkpoint = Checkpoint(tmp_path / "model", config)
    trained = values(trainer.network)
    assert set(trained) == set(weight_shapes(config))
    for name, shape in weight_shapes(config).items():
        assert np.array_equal(checkpoint.tensor(name, shape), trained[name])
    assert not list(tmp_path.rglob("partial-*"))


def test_lora_moves_b_and_leaves_the_base(tmp_path, config, make_trainer):
    lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
    trainer = make_trainer(tmp_path / "run", lora)
    before = values(trainer.network)
    assert all(not value.any() for name, value in before.items() if "lora_B" in name)
    losses = trainer.train()
    after = values(trainer.network)
    for name, value in before.items():
        assert np.array_equal(value, after[name]) == ("lora_" not in name), name
    assert losses[-1] < losses[0]

    export_adapter(trainer.network, config, lora, "tiny", tmp_path / "adapter")
    adapter = read_adapter(tmp_path / "adapter", config)
    assert set(adapter.pairs) == {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"}
    assert adapter.rank == 2
    for module, pair in adapter.pairs.items():
        assert pair.a.shape[0] == 2
        # the scaling alpha / r may be kept apart or inside b
        ratio = pair.b / after[f"{module}.lora_B.weight"]
        assert np.allclose(ratio, ratio.flat[0]) and ratio.flat[0] in (1.0, 2.0)

    export_adapter(trainer.network, replace(config, dtype="bfloat16"), lora, "tiny", tmp_path / "half")
    with safe_open(tmp_path / "half" / "adapter_model.safetensors", "numpy") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"BF16"}  # noqa: SIM118 - no mapping
    half = read_adapter(tmp_path / "half", config)
    for module, pair in adapter.pairs.items():
        assert np.allclose(half.pairs[module].a, pair.a, rtol=2**-8, atol=0)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, make_trainer):
    whole = make_trainer(tmp_path / "whole")
    expected = whole.train()
    make_trainer(tmp_path / "parts").train(until=5)
    resumed = make_trainer(tmp_path / "parts")
    losses = resumed.train(resume=True)
    assert losses[:5] == pytest.approx(expected[:5], abs=1e-5)  # read back from the log
    assert losses[5:] == pytest.approx(expected[5:], abs=1e-6)
    for name, value in values(whole.network).items():
        assert np.allclose(values(resumed.network)[name], value, atol=1e-6), name


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, make_trainer):
    trainer = make_trainer(tmp_path / "run")
    weight = trainer.network.embedding
    weight.set_data(weight * float("nan"))
    with pytest.raises(TrainingError, match="step 1: the loss is nan"):
        trainer.train()
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_nothing_or_rubbish_to_resume(tmp_path, make_trainer):
    with pytest.raises(TrainingError, match="nothing to resume"):
        make_trainer(tmp_path / "run").train(resume=True)
    (tmp_path / "run" / CHECKPOINT).write_bytes(b"rubbish")
    with pytest.raises(TrainingError, match="not a checkpoint") as caught:
        make_trainer(tmp_path / "run").train(resume=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"warmup_steps": 50}, "warmup_steps"),
        ({"weight_decay": -0.1}, "weight_decay"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(TrainingError, match=message):
        TrainingSettings(**{"steps": 10, "learning_rate": 0.1, "warmup_steps": 1} | changes)


def test_unknown_module_and_too_long_sequence(config):
    with pytest.raises(TrainingError, match="target_modules: k_proof"):
        LoraSettings(2, 4.0, ("q_proj", "k_proof"))
    with pytest.raises(TrainingError, match="lora_rank"):
        LoraSettings(0, 4.0, ("q_proj",))
    with pytest.raises(TrainingError, match="max_position_embeddings 256"):
        TrainingLM(config, 1, 257, initial_weights(config, 0))
