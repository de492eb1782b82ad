"""What all formats need for writing: alpha of a scaling, one rank and one scaling for all layers, the stored type."""

import ml_dtypes
import numpy as np

from mindcold.adapter_formats.stored import StoredPair

_TYPES = {"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}


def alpha_of(scaling: float, rank: int) -> float:
    """The alpha whose quotient by the rank is the scaling; an integer where one is."""
    whole = round(scaling * rank)
    return whole if whole / rank == scaling else scaling * rank


def with_one_scaling(pairs: dict[str, StoredPair]) -> dict[str, StoredPair]:
    """The same updates under one scaling: B as it is where they have one already, else scaling 1."""
    if len({pair.scaling for pair in pairs.values()}) == 1:
        return pairs
    return {module: pair.folded() for module, pair in pairs.items()}


def with_one_rank(pairs: dict[str, StoredPair]) -> tuple[dict[str, StoredPair], int, int]:
    """Pairs of one scaling with components of zeros up to the largest rank; with the rank and an integer alpha.

    MindFormers reads alpha as an integer; where none fits, B is multiplied with the scaling, and alpha is the rank.
    """
    rank = max(pair.rank for pair in pairs.values())
    alpha = alpha_of(next(iter(pairs.values())).scaling, rank)
    if not isinstance(alpha, int):
        pairs, alpha = {module: pair.folded() for module, pair in pairs.items()}, rank
    return {module: pair.padded(rank) for module, pair in pairs.items()}, rank, alpha


def as_stored(tensors: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """The tensors in the type they were read from where all fit in it, else float32."""
    kind = _TYPES.get(dtype, np.float32)
    with np.errstate(over="ignore"):
        cast = {name: np.ascontiguousarray(value.astype(kind)) for name, value in tensors.items()}
    exact = all(np.array_equal(cast[name].astype(np.float32), value) for name, value in tensors.items())
    return cast if exact else {name: np.ascontiguousarray(value) for name, value in tensors.items()}
