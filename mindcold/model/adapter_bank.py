"""All live adapters side by side, so that one step can give every row its own."""

from typing import Any

from mindcold.adapter import Adapter
from mindcold.model.shapes import members
from mindcold.model.weights import Weights
from mindcold.ops.lora_linear import LowRank

BASE_ADAPTER = -1
"""Adapter id of rows that run the base model alone."""


class AdapterBank:
    """The low-rank pairs of several adapters, and the whole matrices some of them replace."""

    def __init__(self, weights: Weights):
        self._weights = weights
        self.adapters: list[Adapter] = []
        self._replaced: dict[str, dict[int, Any]] = {}

    def add(self, adapter: Adapter) -> int:
        """Make an adapter live and return its id; a copy of the base's matrix replaces nothing."""
        self.adapters.append(adapter)
        number = len(self.adapters) - 1
        for module, value in adapter.replaced.items():
            own = self._weights.replacement(module, value)
            if own is not None:
                self._replaced.setdefault(module, {})[number] = own
        return number

    def pairs(self, name: str) -> list[LowRank]:
        """What the adapters add to a linear layer of the graph, which may be several fused ones."""
        found = []
        for number, adapter in enumerate(self.adapters):
            first = 0
            for part in members(name):
                pair = adapter.pairs.get(part)
                if pair is not None:
                    found.append(LowRank(number, first, pair.a, pair.b))
                first += self._weights.outputs(part)
        return found

    def replacing(self, module: str) -> dict[int, Any]:
        """Adapter id to the matrix it puts in the place of this module's."""
        return self._replaced.get(module, {})
