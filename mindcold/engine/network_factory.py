"""What an engine is given: how to build the network of a model."""

from typing import Any, Protocol

import mindspore as ms

from mindcold.adapter import Adapter
from mindcold.engine.host_network import HostCache, HostNetwork
from mindcold.engine.pool import CacheShape


class NetworkFactory(Protocol):
    """What the engine knows of a model: the shape of its cache, its adapters, and how to build its network."""

    vocab_size: int
    weight_bytes: int
    """Memory of the matrices a step reads, bytes."""

    @property
    def adapters(self) -> list[Adapter]:
        """The live adapters; an adapter's id is its place."""
        ...

    @property
    def cache_shape(self) -> CacheShape:
        """Layers, heads and head size of keys and values."""
        ...

    @property
    def cache_dtype(self) -> ms.Type:
        """Dtype of keys and values, as its networks take them."""
        ...

    @property
    def host_cache(self) -> HostCache | None:
        """The cache of a network that keeps keys and values itself; None where the engine does."""
        ...

    def add_adapter(self, adapter: Adapter) -> int:
        """Make an adapter live and return its id; networks built before do not have it."""
        ...

    def lowered(self, dtype: str) -> "NetworkFactory":
        """The same model with weights of another dtype and no adapters; RequestError where that cannot be."""
        ...

    def build(self, caches: list[tuple[ms.Parameter, ms.Parameter]]) -> ms.nn.Cell | HostNetwork:
        """A Cell construct(rows int32 [11, R], take int32 [L]) -> logits float32 [L, vocab], see `CausalLM`.

        With a `host_cache` there are no caches, and it is a HostNetwork, called outside of the engine's graphs.
        """
        ...

    def renew(self, network: Any, caches: list[tuple[ms.Parameter, ms.Parameter]]) -> bool:
        """Give a built network these caches and the live adapters, or False where it has to be built anew."""
        ...
