"""Builds the networks of a model folder for an engine."""

import mindspore as ms
from mindspore import Parameter

from mindcold.adapter import Adapter
from mindcold.config import ModelConfig
from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.causal_lm import CausalLM
from mindcold.model.stack import ModelStack
from mindcold.model.weights import Weights
from mindcold.ops.tree_attention import cache_dtype


class CausalLMFactory:
    """The weights of a model with its adapters, from which its network is built, or renewed when one of them joins."""

    def __init__(self, config: ModelConfig, weights: Weights, backend: str = "auto"):
        self.config, self.vocab_size, self.weight_bytes = config, config.vocab_size, weights.nbytes
        self._weights, self._bank, self._backend = weights, AdapterBank(weights), backend

    host_cache = None
    """Keys and values are the engine's."""

    @property
    def cache_shape(self) -> ModelConfig:
        """The configuration, which has the shape of keys and values."""
        return self.config

    @property
    def cache_dtype(self) -> ms.Type:
        """Dtype of keys and values, as the attention takes them."""
        return cache_dtype(self._weights.dtype, self._backend)

    @property
    def adapters(self) -> list[Adapter]:
        """The live adapters; an adapter's id is its place."""
        return self._bank.adapters

    def add_adapter(self, adapter: Adapter) -> int:
        """Make an adapter live and return its id."""
        return self._bank.add(adapter)

    def lowered(self, dtype: str) -> "CausalLMFactory":
        """The same model with weights of another dtype, read anew from where they came from, and no adapters."""
        return CausalLMFactory(self.config, Weights(self._weights.source, dtype, self._backend), self._backend)

    def build(self, caches: list[tuple[Parameter, Parameter]]) -> CausalLM:
        """The network over these caches, with all adapters that are live now."""
        return CausalLM(self._stack(caches))

    def renew(self, network: CausalLM, caches: list[tuple[Parameter, Parameter]]) -> bool:
        """Give a built network these caches and the adapters that are live now; False where it has to be built anew."""
        return network.renew(self._stack(caches))

    def _stack(self, caches: list[tuple[Parameter, Parameter]]) -> ModelStack:
        return ModelStack(self.config, self._weights, self._bank, caches, self._backend)
