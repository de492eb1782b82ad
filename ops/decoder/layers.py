"""What the bodies of decoder are made from: the cells of all layers, and how they are run one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from mindspore import Parameter, nn


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Query heads, key and value heads, and the size of each."""

    num_heads: int
    num_kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class LayerParts:
    """The cells of one decoder layer, and what its attention needs."""

    qkv_proj: Any
    rope: Any
    o_proj: Any
    gate_up_proj: Any
    down_proj: Any
    caches: tuple[Parameter, Parameter]
    """Keys and values, [slots, kv_heads, head_dim]."""
    window: int
    """Keys a row sees at most, 0 for all."""


class Layers(Protocol):
    """A Cell that runs decoder layers one after the other: the body "single", and the material of the others."""

    shape: HeadShape

    def parts(self) -> Iterator[LayerParts]:
        """The layers, from the first to the last."""
        ...


def single(layers: nn.Cell) -> nn.Cell:
    """The layers as they are, an operator for every part."""
    return layers
