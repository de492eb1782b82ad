"""What a batch is decoded by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindcold.llm import LLM


@dataclass(frozen=True, slots=True)
class Setting:
    """Model and adapters of a batch, and what holds for lines that do not say otherwise."""

    model: str
    """HuggingFace model folder, or a name from the model zoo."""
    adapters: Mapping[str, str | Path] = field(default_factory=dict)
    """PEFT adapter folders by the name a body's model means them by; the first is the default."""
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of `generate`."""
    chat: bool = False
    """Whether the prompts of a text file are user messages."""
    max_batch: int = 16
    """Requests that run together."""
    dtype: str = "auto"
    backend: str = "auto"
    name: str | None = None
    """What bodies call the model, if not as `model` or the last part of its folder."""

    def load(self) -> "LLM":
        """The model with its adapters; ModelError, AdapterError or TokenizerError as `mindcold.load`."""
        from mindcold.llm import load

        llm = load(self.model, dtype=self.dtype, backend=self.backend)
        for name, folder in self.adapters.items():
            llm.add_adapter(name, folder)
        return llm
