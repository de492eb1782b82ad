"""The metadata of a GGUF file as a ModelConfig."""

from dataclasses import replace
from typing import Any

import numpy as np

from mindcold.config import ModelConfig, RopeConfig, parse_config
from mindcold.convert.gguf_file import GgufFile

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""The `general.architecture` values that can be converted."""

_LLAMA3: dict[str, Any] = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def read_config(file: GgufFile, dtype: str) -> ModelConfig:
    """The configuration of the model in a GGUF file; ModelError names the key that is missing or not supported."""
    kind = file.value("general.architecture", str)
    if kind not in ARCHITECTURES:
        raise file.fail("general.architecture", f"{kind!r} is not one of {', '.join(ARCHITECTURES)}")
    _refuse_unsupported(file, kind)
    hidden = file.integer(f"{kind}.embedding_length", low=1)
    heads = file.integer(f"{kind}.attention.head_count", low=1)
    key_value = file.integer(f"{kind}.attention.head_count_kv", heads)
    if not 1 <= key_value <= heads or heads % key_value:
        raise file.fail(f"{kind}.attention.head_count_kv", f"{key_value} does not divide head_count {heads}")
    head = file.integer(f"{kind}.attention.key_length", hidden // heads)
    for key in (f"{kind}.attention.value_length", f"{kind}.rope.dimension_count"):
        if file.integer(key, head) != head:
            raise file.fail(key, f"{file.integer(key)} is not the head size {head}, and this is not supported")
    vocab = file.shape("token_embd.weight")[0]
    config = ModelConfig(
        model_type=kind,
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=file.integer(f"{kind}.feed_forward_length", low=1),
        num_hidden_layers=file.integer(f"{kind}.block_count", low=1, high=4096),
        num_attention_heads=heads,
        num_key_value_heads=key_value,
        head_dim=head,
        max_position_embeddings=file.integer(f"{kind}.context_length", low=1),
        rms_norm_eps=_short(file.value(f"{kind}.attention.layer_norm_rms_epsilon", float)),
        tie_word_embeddings="output.weight" not in file,
        attention_bias=kind == "qwen2" or "blk.0.attn_q.bias" in file,
        output_bias=kind == "llama" and "blk.0.attn_q.bias" in file,
        mlp_bias=kind == "llama" and "blk.0.ffn_gate.bias" in file,
        qk_norm=kind == "qwen3",
        dtype=dtype,
        bos_token_id=_token(file, "tokenizer.ggml.bos_token_id", vocab),
        eos_token_ids=end_tokens(file, vocab),
    )
    config = replace(config, rope=_rope(file, config))
    return replace(parse_config(config.to_hf(), str(file.path)), eos_token_ids=config.eos_token_ids)


def end_tokens(file: GgufFile, vocab: int) -> tuple[int, ...]:
    """End of text and end of turn, without repetition."""
    keys = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
    found = [_token(file, key, vocab) for key in keys]
    return tuple(dict.fromkeys(token for token in found if token is not None))


def _token(file: GgufFile, key: str, vocab: int) -> int | None:
    token = file.integer(key, None)
    if token is not None and not 0 <= token < vocab:
        raise file.fail(key, f"{token} is not a token id below {vocab}, the rows of token_embd.weight")
    return token


def _refuse_unsupported(file: GgufFile, kind: str) -> None:
    for key in (f"{kind}.expert_count", f"{kind}.attention.sliding_window"):
        if file.integer(key, 0):
            raise file.fail(key, f"{file.integer(key)} is set, and this is not supported")


def _rope(file: GgufFile, config: ModelConfig) -> RopeConfig:
    """Base and scaling of the rotary embedding; Llama 3's scaling is stored as a tensor of divisors."""
    kind = config.model_type
    theta = _short(file.value(f"{kind}.rope.freq_base", float, 10000.0))
    name = f"{kind}.rope.scaling.type"
    scaling = file.value(name, str, "none")
    if "rope_freqs.weight" in file:
        return _llama3(file, replace(config, rope=RopeConfig(theta)))
    if scaling == "linear":
        return RopeConfig(theta, "linear", _short(file.value(f"{kind}.rope.scaling.factor", float)))
    if scaling != "none":
        raise file.fail(name, f"{scaling!r} is not supported, only linear and that of Llama 3")
    return RopeConfig(theta)


def _llama3(file: GgufFile, config: ModelConfig) -> RopeConfig:
    """The settings that give these divisors of the frequencies: those of every Llama 3, but for the factor."""
    from mindcold.model.rope import inverse_frequencies

    found = file.tensor("rope_freqs.weight", (config.head_dim // 2,))
    rope = RopeConfig(config.rope.theta, "llama3", _short(round(float(found.max()), 4)), **_LLAMA3)
    if not np.allclose(inverse_frequencies(config), inverse_frequencies(replace(config, rope=rope)) * found, rtol=1e-3):
        raise file.fail("rope_freqs.weight", "these divisors are not those of Llama 3, and others are not supported")
    return rope


def _short(value: float) -> float:
    """A float32 of the file as the decimal number it was made from."""
    return float(str(np.float32(value)))
