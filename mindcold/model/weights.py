"""The base weights: linear layers as lora_linear keeps them, fused where they share an input, the rest as arrays."""

from typing import Any

import numpy as np

from mindcold.checkpoint import TensorSource
from mindcold.model.shapes import EMBEDDING, FUSED, linear_shapes, members, weight_shapes
from mindcold.ops import lora_linear
from mindcold.ops.lora_linear.reference import restored, stored

ROWS_AT_ONCE = 8192
"""Lines of a large table in memory as float32 at a time; a multiple of every panel size."""


class Weights:
    """The base weights of a model.

    `dtype` ("float32", "bfloat16", "int8") is how the matrices are kept; "auto" is bfloat16 for a source stored in it,
    which loses nothing, else float32. Norms and biases are float32. Raises ModelError when a tensor is missing, has
    another shape or holds NaN.
    """

    def __init__(self, checkpoint: TensorSource, dtype: str = "float32", backend: str = "auto"):
        if dtype == "auto":
            dtype = "bfloat16" if checkpoint.stored_dtype == "BF16" else "float32"
        self.source, self.config, self.dtype = checkpoint, checkpoint.config, dtype
        self._make = lora_linear.choose(backend).make
        self._shapes = linear_shapes(checkpoint.config) | {EMBEDDING: (self.config.vocab_size, self.config.hidden_size)}
        for name, needed in weight_shapes(checkpoint.config).items():  # before memory is taken for any
            checkpoint.check(name, needed)
        self._matrices: dict[str, Any] = {}
        self._vectors: dict[str, np.ndarray] = {}
        for name in self._layer_names():
            parts = members(name)
            weight = self._make(name, (sum(self._shapes[part][0] for part in parts), self._shapes[parts[0]][1]), dtype)
            shared = checkpoint.shared(tuple(f"{part}.weight" for part in parts)) if weight.plain else None
            if shared is not None:
                weight.adopt(shared)
                self._matrices[name] = weight
                continue
            if len(parts) == 1:
                shape = self._shapes[name]
                for first in range(0, shape[0], ROWS_AT_ONCE):
                    weight.put(first, checkpoint.rows(f"{name}.weight", shape, first, first + ROWS_AT_ONCE))
            else:
                tensors = [checkpoint.rows(f"{part}.weight", self._shapes[part], 0, None) for part in parts]
                weight.put(0, np.concatenate(tensors))
            weight.freeze()
            self._matrices[name] = weight
        for name, vector in weight_shapes(checkpoint.config).items():
            if len(vector) == 1:
                self._vectors[name] = checkpoint.tensor(name, vector)

    def _layer_names(self) -> list[str]:
        blocks = [*FUSED, "self_attn.o_proj", "mlp.down_proj"]
        layers = [f"model.layers.{i}.{block}" for i in range(self.config.num_hidden_layers) for block in blocks]
        return [EMBEDDING, *layers, *([] if self.config.tie_word_embeddings else ["lm_head"])]

    def matrix(self, name: str) -> Any:
        """A linear layer (fused ones by their fused name), the embedding or the output projection."""
        return self._matrices[EMBEDDING if name == "lm_head" and self.config.tie_word_embeddings else name]

    def vector(self, name: str) -> np.ndarray | None:
        """A norm weight or the bias of a (fused) linear layer, float32, or None where the architecture has none."""
        if not name.endswith(".bias"):
            return self._vectors.get(name)
        parts = members(name.removesuffix(".bias"))
        if not any(f"{part}.bias" in self._vectors for part in parts):
            return None
        none = [np.zeros(self.outputs(part), np.float32) for part in parts]
        return np.concatenate(
            [self._vectors.get(f"{part}.bias", zeros) for part, zeros in zip(parts, none, strict=True)]
        )

    def outputs(self, part: str) -> int:
        """Outputs of a linear layer of the checkpoint."""
        return self._shapes[part][0]

    def replacement(self, module: str, value: np.ndarray) -> Any | None:
        """A float32 matrix to take the place of `module`, never rounded; None if the base's is the same.

        Where the base is in bfloat16, and the matrix loses nothing, it is kept in it too.
        """
        if self._packed(module, value, self.dtype).same(self.matrix(module)):
            return None
        exact = self.dtype == "bfloat16" and np.array_equal(restored(*stored(value, "bfloat16")), value)
        return self._packed(module, value, "bfloat16" if exact else "float32")

    def _packed(self, module: str, value: np.ndarray, dtype: str) -> Any:
        weight = self._make(f"{module}.replacement", value.shape, dtype)
        weight.put(0, value)
        weight.freeze()
        return weight

    @property
    def nbytes(self) -> int:
        """Memory of the matrices, bytes."""
        return sum(weight.nbytes for weight in self._matrices.values())
