"""Where the training of a drafting model starts: a small shape of a model, with what its embeddings know."""

from dataclasses import replace

import numpy as np

from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.errors import TrainingError
from mindcold.model.shapes import weight_shapes
from mindcold.training.model import initial_weights

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def draft_config(config: ModelConfig, hidden_size: int, layers: int) -> ModelConfig:
    """The shape of a model with fewer and narrower layers: heads of the same size, the same vocabulary and context."""
    head = config.head_dim
    if hidden_size % head or not head <= hidden_size <= config.hidden_size:
        raise TrainingError(
            f"--draft-hidden-size: a multiple of head_dim {head} up to {config.hidden_size} is expected, "
            f"found {hidden_size}"
        )
    if not 1 <= layers <= config.num_hidden_layers:
        raise TrainingError(f"--draft-layers: 1 to {config.num_hidden_layers} are expected, found {layers}")
    heads = hidden_size // head
    groups = next(count for count in range(min(heads, config.num_key_value_heads), 0, -1) if heads % count == 0)
    wide = round(config.intermediate_size * hidden_size / config.hidden_size / 32) * 32
    return replace(
        config,
        hidden_size=hidden_size,
        intermediate_size=max(32, wide),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
    )


def draft_weights(config: ModelConfig, target: Checkpoint, seed: int) -> dict[str, np.ndarray]:
    """Fresh weights, and embeddings that are the principal components of the target's, float32.

    Tokens that the target takes for alike begin alike (as in distillations that shrink the embedding, such as
    arXiv 2010.06123): a fresh embedding of a large vocabulary would have to see every token often.
    """
    weights, shapes = initial_weights(config, seed), weight_shapes(target.config)
    for name in (EMBEDDING, HEAD):
        if name in weights:
            table = target.tensor(name, shapes[name]).astype(np.float32)
            table = table - table.mean(axis=0)
            _, vectors = np.linalg.eigh(table.T @ table)
            small = table @ vectors[:, : -config.hidden_size - 1 : -1]
            weights[name] = (small * (0.02 / small.std())).astype(np.float32)
    return weights
