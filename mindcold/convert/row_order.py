"""The order of rows in GGUF's query and key projections: pairs, where HuggingFace has halves of each head."""

import numpy as np


def paired_heads(architecture: str, name: str, heads: int, kv_heads: int) -> int:
    """Heads of a tensor (HuggingFace's name) whose rows GGUF keeps in pairs; 0 where the order is the same."""
    if architecture != "llama":
        return 0
    return heads if ".self_attn.q_proj." in name else kv_heads if ".self_attn.k_proj." in name else 0


def to_pairs(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows [heads * head_dim, ...] in GGUF's order out of HuggingFace's."""
    return _swapped(value, (heads, 2, value.shape[0] // heads // 2))


def to_halves(value: np.ndarray, heads: int) -> np.ndarray:
    """Rows [heads * head_dim, ...] in HuggingFace's order out of GGUF's."""
    return _swapped(value, (heads, value.shape[0] // heads // 2, 2))


def _swapped(value: np.ndarray, split: tuple[int, int, int]) -> np.ndarray:
    rows = value.reshape(*split, *value.shape[1:])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(value.shape))
