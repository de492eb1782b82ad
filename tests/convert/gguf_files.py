"""Small GGUF files for tests, written with the gguf package from HuggingFace tensors."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from mindcold.config import parse_config
from mindcold.model.weights import weight_shapes
from tests.folders import LLAMA

# written out here, so that the package's own table is checked
LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def own_name(name: str) -> str:
    """GGUF name of a HuggingFace tensor."""
    module, _, kind = name.rpartition(".")
    if module in TOP:
        return f"{TOP[module]}.{kind}"
    _, _, number, part = module.split(".", 3)
    return f"blk.{number}.{LAYER[part]}.{kind}"


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """The rows of a query or key projection as llama files have them, written by index."""
    size = weight.shape[0] // heads
    rows = [h * size + half * (size // 2) + i for h in range(heads) for i in range(size // 2) for half in (0, 1)]
    return weight[rows]


def weights_of(raw: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random HuggingFace tensors of a config.json."""
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(parse_config(raw, "test"))
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def byte_tokens(count: int) -> list[str]:
    """The first byte tokens of byte-level BPE, and the one token that is merged from two of them."""
    from tokenizers import pre_tokenizers

    return [*sorted(pre_tokenizers.ByteLevel.alphabet())[: count - 1], "!!"]


def metadata(raw: dict[str, Any]) -> dict[str, Any]:
    """The keys of a model with a byte-level tokenizer, as a dictionary that tests change."""
    kind = raw["model_type"]
    config = parse_config(raw, "test")
    vocab = config.vocab_size
    return {
        f"{kind}.block_count": config.num_hidden_layers,
        f"{kind}.context_length": config.max_position_embeddings,
        f"{kind}.embedding_length": config.hidden_size,
        f"{kind}.feed_forward_length": config.intermediate_size,
        f"{kind}.attention.head_count": config.num_attention_heads,
        f"{kind}.attention.head_count_kv": config.num_key_value_heads,
        f"{kind}.attention.key_length": config.head_dim,
        f"{kind}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{kind}.rope.freq_base": config.rope.theta,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": byte_tokens(vocab),
        "tokenizer.ggml.token_type": [1] * vocab,
        "tokenizer.ggml.merges": ["! !"],
        "tokenizer.ggml.eos_token_id": 2,
    }


def write_gguf(
    path: Path,
    raw: dict[str, Any] | None = None,
    keys: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    quantise: gguf.GGMLQuantizationType | None = None,
) -> dict[str, np.ndarray]:
    """Write a file; returns the HuggingFace tensors in it. `keys` change the metadata (None removes one)."""
    raw = LLAMA | (raw or {})
    weights = weights_of(raw) if tensors is None else tensors
    writer = gguf.GGUFWriter(path, (keys or {}).get("general.architecture", raw["model_type"]))
    for key, value in (metadata(raw) | (keys or {})).items():
        add_key(writer, key, value)
    config = parse_config(raw, "test")
    for name, value in weights.items():
        stored, own = value, name if "." not in name or name.startswith(("rope", "blk")) else own_name(name)
        if raw["model_type"] == "llama" and "q_proj" in name:
            stored = permuted(value, config.num_attention_heads)
        elif raw["model_type"] == "llama" and "k_proj" in name:
            stored = permuted(value, config.num_key_value_heads)
        if quantise is not None and stored.ndim == 2:
            writer.add_tensor(own, gguf.quants.quantize(stored, quantise), raw_dtype=quantise)
        else:
            writer.add_tensor(own, stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """One key by the type of its value."""
    if value is None or key == "general.architecture":
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
