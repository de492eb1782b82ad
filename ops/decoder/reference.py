"""The contract of decoder, in NumPy: the contracts of its parts, one after the other."""

from dataclasses import dataclass

import numpy as np

from mindcold.ops.lora_linear.reference import LowRank, lora_linear
from mindcold.ops.rope.reference import rope
from mindcold.ops.swiglu.reference import swiglu
from mindcold.ops.tree_attention.reference import tree_attention


@dataclass(frozen=True, slots=True)
class LinearArrays:
    """A linear layer: weight float32 [out, in], bias, low-rank pairs and the norm before it, as in lora_linear."""

    weight: np.ndarray
    bias: np.ndarray | None = None
    pairs: tuple[LowRank, ...] = ()
    norm: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class LayerArrays:
    """One decoder layer; caches float32 [slots, kv_heads, head_dim] are changed in place."""

    qkv_proj: LinearArrays
    o_proj: LinearArrays
    gate_up_proj: LinearArrays
    down_proj: LinearArrays
    k_cache: np.ndarray
    v_cache: np.ndarray
    q_norm: np.ndarray | None = None
    k_norm: np.ndarray | None = None
    window: int = 0


def decoder(
    x: np.ndarray,
    adapter: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    rows: np.ndarray,
    layers: list[LayerArrays],
    num_heads: int,
    epsilon: float = 1e-6,
    dtype: str = "float32",
) -> np.ndarray:
    """Pre-norm attention and gated MLP, each with its residual, layer after layer: x float32 [R, hidden] -> the same.

    adapter int32 [R], cos and sin float32 [R, D / 2], rows int32 [11, R] with the lines of `mindcold.ops.rows.Row`,
    `dtype` how the weights are stored. Padding rows are unspecified. Every body that is made of single operators of
    one kind gives their bits.
    """

    def linear(part: LinearArrays, x: np.ndarray, residual: np.ndarray | None = None) -> np.ndarray:
        return lora_linear(x, part.weight, part.bias, list(part.pairs), adapter, residual, part.norm, epsilon, dtype)

    for layer in layers:
        kv_heads = layer.k_cache.shape[1]
        qkv = linear(layer.qkv_proj, x)
        q, k, v = rope(qkv, cos, sin, adapter, num_heads, kv_heads, layer.q_norm, layer.k_norm, epsilon)
        y = tree_attention(q, k, v, layer.k_cache, layer.v_cache, rows, layer.window)
        x = linear(layer.o_proj, y.reshape(len(x), -1), x)
        x = linear(layer.down_proj, swiglu(linear(layer.gate_up_proj, x), adapter), x)
    return x
