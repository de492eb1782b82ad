"""What the bodies of decoder are made from: all layers, as cells or as what a kernel knows of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from mindspore import Parameter, nn


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Query heads, key and value heads, and the size of each."""

    num_heads: int
    num_kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class LayerParts:
    """One decoder layer as a kernel knows it; the linears are those of lora_linear's C++ body."""

    qkv_proj: Any
    o_proj: Any
    gate_up_proj: Any
    down_proj: Any
    rope_norms: np.ndarray
    """Operand `norms` of rope."""
    caches: tuple[Parameter, Parameter]
    """Keys and values, [slots, kv_heads, head_dim]."""
    window: int
    """Keys a row sees at most, 0 for all."""


class DecoderStack(Protocol):
    """The layers of a decoder with their adapters and caches."""

    @property
    def shape(self) -> HeadShape:
        """Heads of every layer."""
        ...

    def cells(self) -> nn.Cell:
        """A Cell that runs the layers one after the other, an operator for every part."""
        ...

    def parts(self) -> Iterator[LayerParts]:
        """The layers from the first to the last, where lora_linear is the C++ body."""
        ...


def single(stack: DecoderStack) -> nn.Cell:
    """The body of single operators."""
    return stack.cells()
