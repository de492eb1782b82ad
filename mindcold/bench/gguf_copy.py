"""A model folder as a GGUF file of the same weights in bfloat16, for other programs; without a vocabulary."""

from pathlib import Path

import numpy as np

from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.convert.row_order import paired_heads, to_pairs
from mindcold.errors import RequestError
from mindcold.model.rope import inverse_frequencies
from mindcold.model.weights import weight_shapes
from mindcold.ops.lora_linear.reference import stored

ARCHITECTURES = {"mistral": "llama"}
"""GGUF's names where they are others than the model types of transformers."""


def require_gguf() -> None:
    """RequestError where no file can be written, to be said before anything is measured."""
    try:
        import gguf  # noqa: F401
    except ImportError:
        raise RequestError("--llama: needs gguf; pip install gguf") from None


def write(folder: Path, path: Path) -> None:
    """Write the file. RequestError for an architecture that GGUF has no names for."""
    from gguf import MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFWriter, get_tensor_name_map

    config = ModelConfig.from_folder(folder)
    checkpoint = Checkpoint(folder, config)
    kind = ARCHITECTURES.get(config.model_type, config.model_type)
    found = next((arch for arch, name in MODEL_ARCH_NAMES.items() if name == kind), None)
    if found is None:
        raise RequestError(f"--llama: GGUF has no architecture {config.model_type}")
    names = get_tensor_name_map(found, config.num_hidden_layers)
    writer = GGUFWriter(str(path), kind)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope.theta)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")
    slowed = slowed_by(config)
    if (slowed != 1).any():
        writer.add_tensor("rope_freqs.weight", slowed)
    for name, shape in weight_shapes(config).items():
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise RequestError(f"--llama: GGUF has no name for {name} of {config.model_type}")
        value = checkpoint.rows(name, shape, 0, None)
        if heads := paired_heads(kind, name, config.num_attention_heads, config.num_key_value_heads):
            value = to_pairs(value, heads)
        if len(shape) == 1:
            writer.add_tensor(known, value.astype(np.float32))
        else:
            halves = np.ascontiguousarray(stored(value, "bfloat16")[0])
            writer.add_tensor(known, halves.view(np.uint8), raw_dtype=GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def slowed_by(config: ModelConfig) -> np.ndarray:
    """By what each rotary frequency is divided, float32 [head_dim / 2]."""
    exponents = np.arange(0, config.head_dim, 2, dtype=np.float64) / config.head_dim
    return np.round(config.rope.theta**-exponents / inverse_frequencies(config), 5).astype(np.float32)
