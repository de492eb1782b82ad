"""A request as it is given: a prompt, how to decode it, and under which adapter."""

from dataclasses import dataclass, field
from typing import Any

Prompt = Any
"""A text, a list of token ids, or a list of chat messages ({"role", "content"})."""

BASE = "base"
"""Adapter name that means the base model alone."""


@dataclass(frozen=True, slots=True, init=False)
class Request:
    """One prompt with its own method, adapter and keywords; a list of these is decoded together.

    The keywords are those of `generate` (`mindcold.sampling_params.SamplingParams`); they are checked there.
    """

    prompt: Prompt
    method: str | None = None
    """None takes the adapter's decoding defaults, greedy where it has none."""
    adapter: str | None = None
    """Name of a live adapter, "base" for none; None takes the first."""
    options: dict[str, Any] = field(default_factory=dict)

    def __init__(self, prompt: Prompt, method: str | None = None, *, adapter: str | None = None, **options: Any):
        for name, value in (("prompt", prompt), ("method", method), ("adapter", adapter), ("options", options)):
            object.__setattr__(self, name, value)
