"""MindFormers networks that compute in place: an engine whose network they are."""

from collections.abc import Iterable
from typing import Any

import mindspore as ms

from mindcold.adapter import Adapter
from mindcold.config import ModelConfig
from mindcold.engine import LOCK, Engine, HostCache
from mindcold.mindformers.gated_linear import GatedLinears
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.network import MCORE, kind_of, unwrapped
from mindcold.mindformers.overlay import Overlay
from mindcold.mindformers.paged_network import PagedNetwork
from mindcold.mindformers.paged_network import cache_of as paged_cache_of
from mindcold.mindformers.uncached_network import UncachedNetwork
from mindcold.mindformers.uncached_network import cache_of as uncached_cache_of


class InPlaceFactory:
    """A MindFormers network as the engine asks for it; outside of steps it is as its owner made it."""

    def __init__(self, network: Any, config: ModelConfig):
        self._network, self.config, self.vocab_size = unwrapped(network), config, config.vocab_size
        self._paged = kind_of(network) == MCORE
        self.host_cache: HostCache = (paged_cache_of if self._paged else uncached_cache_of)(self._network)
        self.weight_bytes = sum(item.nbytes for item in self._network.get_parameters() if item.ndim == 2)
        self.adapters: list[Adapter] = []
        self._overlay: Overlay | None = None
        self._built: PagedNetwork | UncachedNetwork | None = None

    @property
    def cache_shape(self) -> ModelConfig:
        """The configuration, which has the shape of keys and values."""
        return self.config

    def add_adapter(self, adapter: Adapter) -> int:
        """Make an adapter live and return its id; MindFormersError for one that has no place in the network."""
        with Overlay(self._network).recorded():
            GatedLinears(self._network, self.config, [adapter], 1)
        self.adapters.append(adapter)
        return len(self.adapters) - 1

    def lowered(self, dtype: str) -> Any:
        """Refused: the weights are the network's own."""
        raise MindFormersError(f"low_dtype: the network has its own weights, not in {dtype}; use backend='engine'")

    def build(self, caches: list[tuple[ms.Parameter, ms.Parameter]]) -> PagedNetwork | UncachedNetwork:
        """The network with all adapters that are live now; what it has written before stays."""
        assert not caches
        if self._overlay is not None:
            self._overlay.release()
        kind: Any = PagedNetwork if self._paged else UncachedNetwork
        self._overlay = Overlay(self._network)
        self._built = kind(self._network, self.config, self.adapters, self._overlay, self._built)
        return self._built

    cache_dtype = ms.float32
    """Of no use: keys and values are the network's."""

    def renew(self, network: Any, caches: list[tuple[ms.Parameter, ms.Parameter]]) -> bool:
        """False: adapters are part of what was built."""
        return False

    def release(self) -> None:
        """Forget what was compiled and written."""
        if self._overlay is not None:
            self._overlay.release()
        self._overlay = self._built = None


class InPlaceEngine(Engine):
    """An engine whose network is a MindFormers network, which keeps its weights and, if it has one, its cache.

    Between steps, and after an error in one, the network is as it was: its own `generate` can be called.
    """

    def __init__(self, network: Any, config: ModelConfig, operators: str = "auto"):
        self._in_place = InPlaceFactory(network, config)
        super().__init__(self._in_place, operators)

    def release(self) -> None:
        """Give back the memory of graphs and adapters; the engine cannot be used any more."""
        with LOCK:
            self._forget_graphs()
            self._in_place.release()


def in_place_engine(
    network: Any, config: ModelConfig, adapters: Iterable[Adapter] = (), operators: str = "auto"
) -> InPlaceEngine:
    """An engine that computes with a MindFormers network itself: mcore Qwen2 and Qwen3, or a legacy Llama without
    use_past.

    `config` is the network's configuration as ours; `operators` is `backend` of `mindcold.load`, for what scores.
    Raises MindFormersError for a network or an adapter that cannot compute in place.
    """
    engine = InPlaceEngine(network, config, operators)
    for adapter in adapters:
        engine.add_adapter(adapter)
    return engine
