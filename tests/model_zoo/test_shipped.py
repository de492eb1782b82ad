"""The shipped folders: complete, small enough for git, loadable, and what their names say."""

import math
import re
from pathlib import Path

import pytest

from mindcold import model_zoo
from mindcold.adapter_formats import read_adapter
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.errors import ModelError
from mindcold.model.shapes import weight_shapes
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer

BASE, ADAPTER = "tiny-base", "tiny-steps"
ALL = (BASE, ADAPTER, "tiny-keywords", "tiny-replies", "tiny-edits", "tiny-draft")
LIMIT = 20 * 1024 * 1024


def test_names_and_paths():
    assert {BASE, ADAPTER} <= set(model_zoo.names())
    assert (model_zoo.path(BASE) / "config.json").is_file()
    with pytest.raises(ModelError, match=f"no-such-model.*{BASE}.*{ADAPTER}"):
        model_zoo.path("no-such-model")


def test_all_together_stay_small():
    files = [file for name in ALL for file in model_zoo.path(name).rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < LIMIT
    assert all(file.stat().st_size < 100_000 for file in files if file.suffix == ".png")


@pytest.mark.parametrize("name", ALL)
def test_each_comes_with_its_card_and_loss(name):
    folder: Path = model_zoo.path(name)
    for file in ("README.md", "loss.csv", "loss.png"):
        assert (folder / file).is_file(), file
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "tools/train_zoo.py" in card and "seed" in card and "held-out" in card
    losses = [float(line.split(",")[1]) for line in (folder / "loss.csv").read_text().splitlines()[1:]]
    assert sum(losses[-10:]) < sum(losses[:10])


def test_the_gain_of_contrast_is_told_with_what_stands_behind_it():
    """The second training stage and the choice of the adapter, beside the number, and the adapters that lose."""
    card = (model_zoo.path(ADAPTER) / "README.md").read_text(encoding="utf-8")
    scores = [[float(score) for score in re.findall(r"([\d.]+) %", line)] for line in card.splitlines() if "| " in line]
    (base, lora, cold), *others = [line for line in scores if line]
    _, _, behind = card.partition(f"**What stands behind these +{cold - lora:.1f} points.**")
    (paragraph, *_) = behind.partition("\n\n")
    assert base < lora < cold and "second training stage" in paragraph and "chosen among several" in paragraph
    lose = [line for line in others if max(line[1:]) < line[0]]
    assert len(others) == 6 and len(lose) == 3 and "the three that are stronger by\nthemselves lose" in paragraph


def test_base_weights_and_vocabulary_match_the_config():
    folder = model_zoo.path(BASE)
    config = ModelConfig.from_folder(folder)
    checkpoint, tokenizer = Checkpoint(folder, config), Tokenizer(folder)
    for name, shape in weight_shapes(config).items():
        checkpoint.tensor(name, shape)
    text = "Question: Anna has 23 apples. Answer: 23 + 14 = 37. \u20ac"
    ids = tokenizer.encode(text)
    assert ids[0] == config.bos_token_id and max(ids) < config.vocab_size
    assert tokenizer.decode(ids) == text  # the sign that no document has goes through as bytes
    assert len(tokenizer.encode("1234", add_special_tokens=False)) >= 4  # digits one by one


@pytest.mark.parametrize("name", [ADAPTER, "tiny-keywords", "tiny-replies", "tiny-edits"])
def test_adapters_fit_the_base(name):
    config = ModelConfig.from_folder(model_zoo.path(BASE))
    assert read_adapter(model_zoo.path(name), config).pairs


def test_the_draft_model_shares_the_vocabulary_and_is_a_quarter():
    base, draft = (ModelConfig.from_folder(model_zoo.path(name)) for name in (BASE, "tiny-draft"))
    assert base.vocab_size == draft.vocab_size
    assert Tokenizer(model_zoo.path(BASE)).encode("two apples") == Tokenizer(model_zoo.path("tiny-draft")).encode(
        "two apples"
    )
    sizes = [sum(math.prod(shape) for shape in weight_shapes(config).values()) for config in (base, draft)]
    assert 0.2 < sizes[1] / sizes[0] < 0.3


@pytest.mark.parametrize("name", ["smollm2-arithmetic", "smollm2-commongen"])
def test_adapters_for_a_public_model(name):
    """They fit SmolLM2, are what `git` and the wheel can carry, and their cards say how they were made."""
    folder = model_zoo.path(name)
    assert (folder / "adapter_model.safetensors").stat().st_size <= 10_000_000
    adapter = read_adapter(folder, ModelConfig.from_folder(find_folder("smollm2-135m")))
    assert adapter.rank == 16 and len(adapter.pairs) == 30 * 7
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "mindcold train" in card and "seed 0" in card and "loss.png" in card
    losses = [float(line.split(",")[1]) for line in (folder / "loss.csv").read_text().splitlines()[1:]]
    assert len(losses) == 625 and sum(losses[-50:]) < sum(losses[:50])
