"""Adapters trained here are loaded by peft itself, with our logits, and torch finds our gradients."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.model.shapes import weight_shapes
from mindcold.training.export import export_adapter
from mindcold.training.lora import LoraSettings
from mindcold.training.model import TrainingLM
from mindcold.training.targets import IGNORED
from tests.folders import write_model
from tests.parity.interpreter import require_peer
from tests.training.test_model import ENDS, SHAPES, batch_of, randomised

PEER = Path(__file__).with_name("peft_peer.py")
ADAPTERS = {
    "llama-tied-scaled": LoraSettings(4, 6.0, "all-linear", rslora=True),
    "llama-biased-linear": LoraSettings(3, 6.0, r".*(self_attn|mlp)\..*_proj"),
    "mistral-window": LoraSettings(
        *(4, 8.0, "all-linear"),
        rank_pattern={"q_proj": 2, r"layers\.1\.mlp\.up_proj": 5},
        alpha_pattern={"model.layers.0.self_attn.v_proj": 3, "down_proj": 16},
    ),
    "qwen2-tied": LoraSettings(4, 8.0, ("k_proj", "o_proj", "up_proj"), dropout=0.1),
    "qwen3": LoraSettings(4, 8.0, ("q_proj", "gate_proj", "mlp.down_proj")),
}
CASES = [
    *ADAPTERS.items(),
    *((name, LoraSettings(3, 6.0, targets, saved=saved)) for name, targets, saved in ENDS.values()),
]


@pytest.fixture(scope="module")
def python():
    return require_peer()


@pytest.mark.parametrize(("name", "lora"), CASES, ids=[*ADAPTERS, *ENDS])
def test_peft_has_our_logits_and_torch_our_gradients(python, tmp_path, name, lora):
    folder = write_model(tmp_path / "model", **SHAPES[name])
    config = ModelConfig.from_folder(folder)
    checkpoint = Checkpoint(folder, config)
    weights = {name: checkpoint.tensor(name, shape) for name, shape in weight_shapes(config).items()}
    rng = np.random.default_rng(0)
    network = randomised(TrainingLM(config, weights, lora), rng)
    export_adapter(network, config, "model", tmp_path / "adapter")
    tokens, labels = (rng.integers(3, config.vocab_size, (2, 13)).astype(np.int32) for _ in range(2))
    labels[0, :5] = labels[1, 9:] = IGNORED
    np.savez(tmp_path / "found.npz", tokens=tokens, labels=labels)
    command = [python, PEER, folder, tmp_path / "adapter", tmp_path / "found.npz"]
    done = subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    with np.load(tmp_path / "found.npz") as arrays:
        theirs = dict(arrays)
    logits = network.logits(batch_of(tokens))
    assert np.abs(logits - theirs["logits"]).max() <= 1e-4 * np.abs(theirs["logits"]).max()
    batch = batch_of(tokens, labels, scale=1 / int((labels != IGNORED).sum()), room=24)
    # without dropout, which draws other numbers in torch
    plain = TrainingLM(config, weights, replace(lora, dropout=0.0))
    plain.update(list(map(_tensor, network.trainable.values())))
    loss, gradients = plain.gradients(batch)
    assert float(loss.asnumpy()) == pytest.approx(float(theirs["loss"]), rel=1e-5)
    for key, mine in zip(network.trainable, gradients, strict=True):
        np.testing.assert_allclose(mine.asnumpy(), theirs[key], atol=2e-4 * np.abs(theirs[key]).max(), err_msg=key)


def _tensor(parameter):
    import mindspore as ms

    return ms.Tensor(parameter.asnumpy())
