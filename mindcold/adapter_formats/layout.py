"""How the rows of a fused linear layer are arranged: query, key and value, or gate and up."""

from itertools import pairwise

import numpy as np

from mindcold.config import ModelConfig
from mindcold.model.shapes import FUSED, linear_shapes

LAYOUTS = {
    "interleaved": (True, True),
    "contiguous": (False, False),
    "contiguous-attention": (False, True),
    "contiguous-mlp": (True, False),
}
"""Name to whether attention and MLP are interleaved: MindFormers has one switch for each.

They are `use_contiguous_weight_layout_attention` (False) and `use_interleaved_weight_layout_mlp` (True).
"""

_QKV, _GATE_UP = FUSED.values()


def sizes(config: ModelConfig, members: tuple[str, ...]) -> list[int]:
    """Rows of the layers (paths within a decoder layer) that a linear layer consists of."""
    shapes = linear_shapes(config)
    return [shapes[f"model.layers.0.{member}"][0] for member in members]


def row_order(config: ModelConfig, members: tuple[str, ...], layout: str) -> np.ndarray:
    """For each row of the fused matrix, its row in the matrix of the members one below the other; int64 [rows].

    Interleaved attention is grouped by key/value head: its queries, its key, its value; an interleaved MLP has gate and
    up row by row (MindFormers' `TrainModelMixin.concat_qkv_interleaved` and `concat_linear_fc1_interleaved`).
    """
    attention, mlp = LAYOUTS[layout]
    groups = {
        _QKV: config.num_key_value_heads if attention else 1,
        _GATE_UP: config.intermediate_size if mlp else 1,
    }.get(members, 1)
    ends = np.cumsum([0, *sizes(config, members)])
    return np.concatenate([np.arange(i, j).reshape(groups, -1) for i, j in pairwise(ends)], axis=1).ravel()


def split(matrix: np.ndarray, config: ModelConfig, members: tuple[str, ...], layout: str) -> list[np.ndarray]:
    """The rows of each member of a fused matrix [rows, columns]."""
    apart = np.empty_like(matrix)
    apart[row_order(config, members, layout)] = matrix
    return np.split(apart, np.cumsum(sizes(config, members))[:-1])


def join(parts: list[np.ndarray], config: ModelConfig, members: tuple[str, ...], layout: str) -> np.ndarray:
    """The fused matrix of its members' rows."""
    return np.concatenate(parts)[row_order(config, members, layout)]
