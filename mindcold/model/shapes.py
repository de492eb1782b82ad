"""The tensors of a model: names as in HuggingFace, shapes, biases, and which linear layers are computed as one."""

import math

from mindcold.config import ModelConfig

EMBEDDING = "model.embed_tokens"
"""Module path of the embedding."""

FUSED = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}
"""Linear layers that are computed as one, and the layers of the checkpoint they consist of."""


def linear_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Module path to [out, in] of every linear layer of the architecture, lm_head last."""
    query = config.num_attention_heads * config.head_dim
    key_value = config.num_key_value_heads * config.head_dim
    hidden, inner = config.hidden_size, config.intermediate_size
    block = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key_value, hidden),
        "self_attn.v_proj": (key_value, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    layers = range(config.num_hidden_layers)
    shapes = {f"model.layers.{i}.{module}": shape for i in layers for module, shape in block.items()}
    return shapes | {"lm_head": (config.vocab_size, hidden)}


def members(name: str) -> tuple[str, ...]:
    """The layers of the checkpoint that a linear layer consists of."""
    for fused, parts in FUSED.items():
        if name.endswith(fused):
            return tuple(name.removesuffix(fused) + part for part in parts)
    return (name,)


def scalar_count(config: ModelConfig) -> int:
    """Number of scalars of a model."""
    return sum(math.prod(shape) for shape in weight_shapes(config).values())


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """HuggingFace tensor name to shape of everything the architecture needs."""
    hidden = (config.hidden_size,)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, config.hidden_size)}
    for module, (out_size, in_size) in linear_shapes(config).items():
        if module == "lm_head" and config.tie_word_embeddings:
            continue
        shapes[f"{module}.weight"] = (out_size, in_size)
        if has_bias(config, module):
            shapes[f"{module}.bias"] = (out_size,)
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}."
        shapes |= {f"{layer}input_layernorm.weight": hidden, f"{layer}post_attention_layernorm.weight": hidden}
        if config.qk_norm:
            head = (config.head_dim,)
            shapes |= {f"{layer}self_attn.q_norm.weight": head, f"{layer}self_attn.k_norm.weight": head}
    return shapes | {"model.norm.weight": hidden}


def has_bias(config: ModelConfig, module: str) -> bool:
    """Whether a linear layer of this architecture has a bias."""
    leaf = module.rsplit(".", 1)[-1]
    if leaf in ("q_proj", "k_proj", "v_proj"):
        return config.attention_bias
    if leaf == "o_proj":
        return config.output_bias
    return config.mlp_bias and leaf != "lm_head"
