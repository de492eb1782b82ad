"""Rotary position embedding: the frequencies of a configuration and the rotation of query and key rows."""

import math

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.config import ModelConfig


def inverse_frequencies(config: ModelConfig) -> np.ndarray:
    """Rotation per position of each pair of features, radians, float32 [head_dim / 2].

    "linear" divides all by the factor; "llama3" only those whose wavelength exceeds the original context
    (Llama 3.1 release, as in `transformers` modeling_rope_utils).
    """
    rope = config.rope
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    with np.errstate(all="ignore"):  # what overflows shows in the logits
        inverse = (1.0 / np.power(np.float32(rope.theta), exponents)).astype(np.float32)
    if rope.kind == "linear":
        return (inverse / rope.factor).astype(np.float32)
    if rope.kind == "llama3":
        wavelength = 2 * math.pi / inverse
        original = rope.original_max_position_embeddings
        span = rope.high_freq_factor - rope.low_freq_factor
        smooth = np.clip((original / wavelength - rope.low_freq_factor) / span, 0.0, 1.0)
        return ((1 - smooth) * inverse / rope.factor + smooth * inverse).astype(np.float32)
    return inverse


class RotaryAngles(nn.Cell):
    """Cosine and sine of every row: positions int32 [R] -> two float32 [R, 1, head_dim / 2]."""

    def __init__(self, config: ModelConfig):
        super().__init__(auto_prefix=False)
        self.inverse = ms.Tensor(inverse_frequencies(config).reshape(1, 1, -1))

    def construct(self, positions):
        angles = ops.cast(positions, ms.float32).reshape(-1, 1, 1) * self.inverse
        return ops.cos(angles), ops.sin(angles)


class Rotate(nn.Cell):
    """Rotate the two halves of each head (the HuggingFace layout): float32 [R, heads, head_dim] -> the same."""

    def __init__(self, head_dim: int):
        super().__init__(auto_prefix=False)
        self.half = head_dim // 2
        self.concat = ops.Concat(axis=-1)

    def construct(self, x, cos, sin):
        first, second = x[:, :, : self.half], x[:, :, self.half :]
        return self.concat((first * cos - second * sin, second * cos + first * sin))
