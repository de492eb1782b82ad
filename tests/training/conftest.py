"""A tiny configuration and data for short training runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindcold.config import ModelConfig, parse_config
from mindcold.training.data import TrainingSet
from mindcold.training.lora import LoraSettings
from mindcold.training.model import TrainingLM, initial_weights
from mindcold.training.rows import Row
from mindcold.training.settings import TrainingSettings
from mindcold.training.trainer import Trainer
from tests.folders import LLAMA

BATCH, LENGTH, STEPS = 4, 12, 12


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return parse_config(LLAMA | {"tie_word_embeddings": True, "num_hidden_layers": 1}, "test")


@pytest.fixture(scope="session")
def rows() -> list[Row]:
    """Counting modulo 17, easy to learn: 24 rows of LENGTH tokens."""
    stream = ((np.arange(LENGTH + 1)[None] + np.arange(24)[:, None]) % 17 + 3).astype(np.int32)
    return [Row(line[:-1], line[1:], np.zeros(LENGTH, np.int32)) for line in stream]


@pytest.fixture
def make_trainer(config, rows):
    """make_trainer(folder, lora=None, ...) -> Trainer; the same start each time."""

    def make(
        folder: Path,
        lora: LoraSettings | None = None,
        rate: float = 0.01,
        accumulation: int = 1,
        dtype: str = "float32",
        **more: Any,
    ) -> Trainer:
        settings = {"warmup_steps": 2, "save_every": 4, "evaluate_every": 3} | more.pop("settings", {})
        network = TrainingLM(config, initial_weights(config, 3), lora, dtype)
        data = TrainingSet(rows, LENGTH, BATCH, 5, accumulation)
        return Trainer(network, data, TrainingSettings(STEPS, rate, **settings), folder, **more)

    return make
