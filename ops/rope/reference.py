"""The contract of rope, in NumPy."""

import numpy as np

from mindcold.ops.rms_norm import rms_norm


def rope(
    qkv: np.ndarray,
    cos: np.ndarray,
    sin: np.ndarray,
    adapter: np.ndarray,
    num_heads: int,
    num_kv_heads: int,
    q_norm: np.ndarray | None = None,
    k_norm: np.ndarray | None = None,
    epsilon: float = 1e-6,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the fused projection into heads, normalise query and key heads if asked, and rotate them.

    qkv float32 [R, (H + 2 KV) D], cos and sin float32 [R, D / 2], adapter int32 [R], q_norm and k_norm float32 [D].
    Returns q [R, H, D], k [R, KV, D], v [R, KV, D]. The two halves of a head are rotated against each other (the
    layout of HuggingFace checkpoints; Su et al., arXiv 2104.09864). Rows whose adapter id is below -1 are padding,
    and what they give is unspecified (zeros here).
    """
    rows, size = len(qkv), 2 * cos.shape[1]
    heads = qkv.reshape(rows, num_heads + 2 * num_kv_heads, size).copy()
    heads[adapter < -1] = 0
    parts = [heads[:, :num_heads], heads[:, num_heads : num_heads + num_kv_heads]]
    for i, norm in enumerate((q_norm, k_norm)):
        if norm is not None:
            parts[i] = rms_norm(parts[i], norm, epsilon)
        first, second = parts[i][..., : size // 2], parts[i][..., size // 2 :]
        c, s = cos[:, None], sin[:, None]
        parts[i] = np.concatenate((first * c - second * s, second * c + first * s), -1)
    return parts[0], parts[1], heads[:, num_heads + num_kv_heads :].copy()
