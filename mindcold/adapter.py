"""A LoRA adapter as the engine takes it; `mindcold.adapter_formats` reads and writes the files."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class LoraPair:
    """The low-rank update of one linear layer: `a` float32 [rank, in], `b` float32 [out, rank], scaling included."""

    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter: low-rank pairs by module path, and whole weights that replace the embedding or the lm_head."""

    name: str
    rank: int
    """Largest rank of its modules, 0 if it only replaces weights."""
    pairs: dict[str, LoraPair] = field(repr=False)
    replaced: dict[str, np.ndarray] = field(repr=False)
    """`model.embed_tokens` or `lm_head` to float32 [vocab, hidden]."""
