"""The contract of lora_linear, in NumPy."""

from dataclasses import dataclass

import numpy as np

from mindcold.ops.rms_norm import rms_norm

PADDING = -2
"""Adapter id of rows that belong to no sequence: nothing is computed for them, their outputs are unspecified."""

DTYPES = ("float32", "bfloat16", "int8")
"""How the base weight may be stored. With bfloat16 the inputs of the base product are rounded to it too, as elsewhere;
sums are float32 in all of them."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """What one adapter adds to some outputs of a linear layer: x A^T B^T on outputs first .. first + len(B) - 1."""

    adapter: int
    first: int
    a: np.ndarray
    """float32 [rank, in]."""
    b: np.ndarray
    """float32 [outputs, rank], the scaling of the adapter in it."""


def lora_linear(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    pairs: list[LowRank],
    adapter: np.ndarray,
    residual: np.ndarray | None = None,
    norm: np.ndarray | None = None,
    epsilon: float = 1e-6,
    dtype: str = "float32",
) -> np.ndarray:
    """residual + x W^T + bias + the low-rank part of each row's own adapter: the batched gather of multi-LoRA serving.

    x float32 [R, in], weight float32 [out, in] (what its stored form stands for), bias float32 [out], adapter int32
    [R] (-1 for the base, below that padding), residual float32 [R, out], norm float32 [in]: with it x is first put
    through RMSNorm, `dtype` how the weight is stored: with "bfloat16" the base product takes x rounded to it, the
    low-rank part as it is. Returns float32 [R, out]; padding rows are unspecified (zeros here).
    The base weight is read once for all rows. A row's result does not depend on the rows beside it.
    (CoLD, arXiv 2505.14620, section on the serving kernel.)
    """
    if norm is not None:
        x = rms_norm(x, norm, epsilon)
    y = rounded(x, dtype) @ weight.T
    for pair in pairs:
        mine = adapter == pair.adapter
        y[mine, pair.first : pair.first + len(pair.b)] += x[mine] @ pair.a.T @ pair.b.T
    if bias is not None:
        y = y + bias
    if residual is not None:
        y = y + residual
    y[adapter <= PADDING] = 0
    return y


def rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """The float32 input of a base product as a weight stored in `dtype` meets it."""
    return restored(*stored(x, dtype)) if dtype == "bfloat16" else x


def stored(weight: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A weight [out, in], float32 or bfloat16, as it is kept, and the scale [out] of each output for int8.

    bfloat16 rounds to nearest even; int8 is weight-only, symmetric, one scale per output: max |w| / 127.
    """
    if dtype == "int8":
        weight = weight.astype(np.float32, copy=False)
        scale = np.abs(weight).max(axis=1) / np.float32(127)
        safe = np.where(scale > 0, scale, np.float32(1))
        return np.rint(weight / safe[:, None]).astype(np.int8), safe.astype(np.float32)
    if dtype == "bfloat16":
        import ml_dtypes

        return weight.astype(ml_dtypes.bfloat16, copy=False), None
    return weight.astype(np.float32, copy=False), None


def restored(value: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """The float32 weight that a stored one stands for."""
    weight = value.astype(np.float32)
    return weight if scale is None else weight * scale[:, None]
