"""The models that look ahead for a model, loaded once each."""

import warnings
from dataclasses import dataclass

from mindcold.adapter_formats import read_adapter
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.engine import Engine
from mindcold.errors import ModelError, RequestError
from mindcold.model import CausalLMFactory, Weights
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.model_folder import find_folder


@dataclass(frozen=True, slots=True)
class DraftModel:
    """A loaded model under one of its adapters, -1 for none."""

    engine: Engine
    adapter: int
    limit: int
    """Tokens its context holds."""


class DraftModels:
    """Draft models by folder or name, with weights kept like the target's."""

    def __init__(self, target: Engine, vocab_size: int, dtype: str, backend: str):
        self._target, self._vocab_size, self._dtype, self._backend = target, vocab_size, dtype, backend
        self._models: dict[str, tuple[Engine, ModelConfig]] = {}

    @property
    def weight_bytes(self) -> int:
        """Memory of the matrices of all that are loaded, bytes."""
        return sum(engine.weight_bytes for engine, _ in self._models.values())

    def find(self, name: str, adapter: str | None = None) -> DraftModel:
        """A draft model, and its adapter of this folder or name; RequestError for one of another vocabulary.

        One that is larger than the target is taken with a warning.
        """
        if name not in self._models:
            self._models[name] = self._load(name)
        engine, config = self._models[name]
        return DraftModel(engine, self._adapter(engine, config, adapter), config.max_position_embeddings)

    def _load(self, name: str) -> tuple[Engine, ModelConfig]:
        try:
            folder = find_folder(name)
        except ModelError as error:
            raise RequestError(f"draft: {name!r} is neither a draft nor a model: {error}") from None
        config = ModelConfig.from_folder(folder)
        if config.vocab_size != self._vocab_size:
            raise RequestError(
                f"draft: {folder}: vocab_size is {config.vocab_size}, but the model has {self._vocab_size}"
            )
        weights = Weights(Checkpoint(folder, config), self._dtype, self._backend)
        engine = Engine(CausalLMFactory(config, weights, self._backend), self._backend)
        if engine.weight_bytes > self._target.weight_bytes:
            warnings.warn(f"draft: {folder} is larger than the model it drafts for", stacklevel=2)
        return engine, config

    def _adapter(self, engine: Engine, config: ModelConfig, adapter: str | None) -> int:
        if adapter is None:
            return BASE_ADAPTER
        names = [item.name for item in engine.adapters]
        if adapter not in names:
            return engine.add_adapter(read_adapter(find_folder(adapter), config, adapter))
        return names.index(adapter)
