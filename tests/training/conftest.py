"""A tiny configuration and data for short training runs."""

from pathlib import Path

import numpy as np
import pytest

from mindcold.config import ModelConfig, parse_config
from mindcold.training.data import TrainingSet
from mindcold.training.model import LoraSettings, TrainingLM, initial_weights
from mindcold.training.trainer import Trainer, TrainingSettings
from tests.folders import LLAMA

BATCH, LENGTH, STEPS = 4, 12, 12


@pytest.fixture(scope="session")
def config() -> ModelConfig:
    return parse_config(LLAMA | {"tie_word_embeddings": True, "num_hidden_layers": 1}, "test")


@pytest.fixture(scope="session")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Counting modulo 17: easy to learn, int32 [24, LENGTH] tokens and next tokens."""
    stream = (np.arange(LENGTH + 1)[None] + np.arange(24)[:, None]) % 17 + 3
    return stream[:, :-1].astype(np.int32), stream[:, 1:].astype(np.int32)


@pytest.fixture
def make_trainer(config, rows):
    """make_trainer(folder, lora=None, rate=0.01, save_every=4) -> Trainer; the same start each time."""

    def make(folder: Path, lora: LoraSettings | None = None, rate: float = 0.01, save_every: int = 4) -> Trainer:
        network = TrainingLM(config, BATCH, LENGTH, initial_weights(config, 3), lora)
        data = TrainingSet(*rows, BATCH, STEPS, seed=5)
        return Trainer(network, data, TrainingSettings(STEPS, rate, warmup_steps=2, save_every=save_every), folder)

    return make
