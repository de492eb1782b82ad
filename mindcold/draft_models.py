"""The models that look ahead for a model, loaded once each."""

from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.engine import Engine
from mindcold.errors import RequestError
from mindcold.model import CausalLMFactory, Weights
from mindcold.model_folder import find_folder


class DraftModels:
    """Draft models by folder or name, with weights kept like the target's."""

    def __init__(self, vocab_size: int, dtype: str, backend: str):
        self._vocab_size, self._dtype, self._backend = vocab_size, dtype, backend
        self._engines: dict[str, Engine] = {}

    def engine(self, name: str) -> Engine:
        """The engine of a draft model; RequestError for one of another vocabulary than the target's."""
        if name not in self._engines:
            folder = find_folder(name)
            config = ModelConfig.from_folder(folder)
            if config.vocab_size != self._vocab_size:
                raise RequestError(
                    f"draft: {folder}: vocab_size is {config.vocab_size}, but the model has {self._vocab_size}"
                )
            weights = Weights(Checkpoint(folder, config), self._dtype, self._backend)
            self._engines[name] = Engine(CausalLMFactory(config, weights, self._backend), self._backend)
        return self._engines[name]
