"""What an adapter format is: how its tensors are recognised, read and written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mindcold.adapter_formats.source import Source
from mindcold.adapter_formats.stored import StoredAdapter
from mindcold.config import ModelConfig


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an adapter is written to."""

    folder: Path
    """An empty folder."""
    home: Path
    """Where the folder will be once it is whole."""
    name: str
    """The adapter's name."""
    base: str
    """The base model's name."""
    layout: str | None = None
    """Of fused layers; None is the format's own."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: rank, alpha, and the fused layers whose members had matrices A of their own."""

    rank: int
    lora_alpha: float
    stacked: tuple[str, ...] = ()
    """Paths of layers whose rank is the sum of the ranks of their members."""


class Format(Protocol):
    """One way of naming the tensors of an adapter; all errors are AdapterError."""

    @property
    def name(self) -> str: ...

    @property
    def example(self) -> str:
        """The end of a tensor's name."""
        ...

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layouts that its fused layers may have, the default first; empty where it has none."""
        ...

    def is_lora(self, name: str) -> bool:
        """Whether a tensor of this name may belong to an adapter in this format."""
        ...

    def claims(self, names: frozenset[str]) -> bool:
        """Whether a file with these tensors is in this format."""
        ...

    def read(self, source: Source, config: ModelConfig, layout: str | None, lora_alpha: float | None) -> StoredAdapter:
        """The adapter, checked against a base model of shape `config`."""
        ...

    def write(self, adapter: StoredAdapter, config: ModelConfig, destination: Destination) -> Written:
        """Write an adapter of a base model of shape `config`."""
        ...
