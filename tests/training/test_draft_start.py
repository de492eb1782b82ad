"""A drafting model of a model: its shape, its embeddings, and that it trains and drafts."""

import json

import numpy as np
import pytest

import mindcold
from mindcold import model_zoo
from mindcold.checkpoint import Checkpoint
from mindcold.cli import main
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.training.draft_start import EMBEDDING, draft_config, draft_weights
from tests.folders import write_model


@pytest.fixture
def target(tmp_path):
    shape = {"hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 64}
    folder = write_model(tmp_path / "target", seed=1, num_hidden_layers=3, tie_word_embeddings=True, **shape)
    return Checkpoint(folder, ModelConfig.from_folder(folder))


def test_shape_and_embeddings(target):
    config = draft_config(target.config, 24, 2)
    assert (config.hidden_size, config.num_hidden_layers, config.head_dim) == (24, 2, 8)
    assert (config.num_attention_heads, config.num_key_value_heads, config.vocab_size) == (3, 3, 64)
    assert draft_config(target.config, 40, 1).num_key_value_heads == 1
    weights = draft_weights(config, target, seed=0)
    small, whole = weights[EMBEDDING], target.tensor(EMBEDDING, (64, 64)).astype(np.float64)
    whole = whole - whole.mean(axis=0)
    vectors = np.linalg.svd(whole)[2][:24]
    expected = whole @ vectors.T
    scale = small.std() / expected.std()
    np.testing.assert_allclose(small @ small.T, (expected @ expected.T) * scale**2, atol=1e-5)
    assert abs(small.std() - 0.02) < 1e-4 and small.dtype == np.float32


@pytest.mark.parametrize(
    "size,layers,message", [(20, 1, "multiple of head_dim 8"), (72, 1, "up to 64"), (8, 4, "1 to 3")]
)
def test_other_shapes_are_refused(target, size, layers, message):
    with pytest.raises(TrainingError, match=message):
        draft_config(target.config, size, layers)


def test_a_draft_is_trained_and_drafts(tmp_path, capsys):
    pairs = [{"prompt": "Question: 2 + 2? Answer:", "completion": " 2 + 2 = 4."}] * 32
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    size = ModelConfig.from_folder(model_zoo.path("tiny-base")).head_dim
    command = ["train", "--draft-of", "tiny-base", "--draft-hidden-size", 2 * size, "--draft-layers", 1]
    command += ["--data", tmp_path / "pairs.jsonl", "--output", tmp_path / "draft", "--steps", 30, "--batch-size", 8]
    assert main([str(item) for item in [*command, "--sequence-length", 32, "--learning-rate", 0.02]]) == 0
    llm = mindcold.load("tiny-base", "tiny-steps")
    options = {"max_new_tokens": 12, "draft": str(tmp_path / "draft"), "draft_tokens": 3}
    out = llm.generate("Question: 2 + 2? Answer:", **options)
    assert out.token_ids == llm.generate("Question: 2 + 2? Answer:", max_new_tokens=12).token_ids
    assert out.stats.drafted > 0
    capsys.readouterr()
    for change, message in ((["--draft-hidden-size", 7], "multiple"), (["--lora-rank", 4], "not of a new model")):
        assert main([str(item) for item in [*command, "--restart", *change]]) == 1
        assert message in capsys.readouterr().err
