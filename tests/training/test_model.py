"""The training network computes the same logits as the engine, which the parity tests hold against transformers."""

import mindspore as ms
import numpy as np
import pytest

import mindcold
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.model.shapes import weight_shapes
from mindcold.training.export import export_adapter
from mindcold.training.model import IGNORED, LoraSettings, TrainingLM, initial_weights
from tests.folders import write_model


class Logits(ms.nn.Cell):
    """The logits of a training network as a graph of its own."""

    def __init__(self, network: TrainingLM):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, tokens):
        return self.network.logits(tokens)


@pytest.mark.parametrize(("tied", "model_type"), [(True, "llama"), (False, "mistral")])
def test_logits_equal_the_engine_with_and_without_adapter(tmp_path, tied, model_type):
    changes = {"tie_word_embeddings": tied, "model_type": model_type, "sliding_window": None}
    folder = write_model(tmp_path / "model", **changes)
    config = ModelConfig.from_folder(folder)
    checkpoint = Checkpoint(folder, config)
    weights = {name: checkpoint.tensor(name, shape) for name, shape in weight_shapes(config).items()}
    lora = LoraSettings(3, 6.0, ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj"))
    ms.set_context(mode=ms.GRAPH_MODE)
    adapted, plain = TrainingLM(config, 2, 9, weights, lora), TrainingLM(config, 2, 9, weights)
    rng = np.random.default_rng(0)
    for item in adapted.trainable_params():
        item.set_data(ms.Tensor((0.2 * rng.standard_normal(item.shape)).astype(np.float32)))
    export_adapter(adapted, config, lora, "model", tmp_path / "adapter")
    llm = mindcold.load(folder, tmp_path / "adapter", backend="builtin")
    ids = rng.integers(3, config.vocab_size, (2, 9)).astype(np.int32)
    for network, adapter in ((adapted, "default"), (plain, "base")):
        found = Logits(network)(ms.Tensor(ids)).asnumpy().reshape(2, 9, -1)
        for row, prompt in zip(found, ids.tolist(), strict=True):
            expected = llm.logits(prompt, adapter=adapter)
            assert np.abs(row - expected).max() <= 1e-4 * np.abs(expected).max()


def test_positions_that_do_not_count_change_nothing(config):
    """The loss is the same with logits of every position and of the counted ones alone, and so are its gradients."""
    rng = np.random.default_rng(1)
    tokens, labels = (rng.integers(3, config.vocab_size, (3, 11)).astype(np.int32) for _ in range(2))
    for row, first in enumerate((2, 7, 9)):
        labels[row, :first] = IGNORED
    found = []
    for counted in (None, 15, 27, 33):
        network = TrainingLM(config, 3, 11, initial_weights(config, 4), counted=counted)
        step = ms.value_and_grad(network, None, network.trainable_params())
        loss, gradients = step(ms.Tensor(tokens), ms.Tensor(labels))
        found.append((float(loss), [item.asnumpy() for item in gradients]))
    for loss, gradients in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        for ours, theirs in zip(gradients, found[0][1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_only_known_shapes_of_model(config):
    from dataclasses import replace

    with pytest.raises(TrainingError, match="qwen3"):
        TrainingLM(replace(config, model_type="qwen3"), 1, 8, initial_weights(config, 0))
