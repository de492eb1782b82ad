"""The network against a naive forward pass in NumPy, whole sequences at a time, for every architecture."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import mindcold
from mindcold.config import ModelConfig
from mindcold.model import CausalLMFactory, Weights
from mindcold.model.rope import inverse_frequencies
from mindcold.model.shapes import FUSED, linear_shapes, members, weight_shapes
from tests.folders import LLAMA, write_adapter, write_model

QWEN = {"model_type": "qwen2", "num_key_value_heads": 1}
SHAPES = {
    "llama": {},
    "llama tied, scaled": {
        "tie_word_embeddings": True,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
        "attention_bias": True,
        "mlp_bias": True,
    },
    "mistral": {"model_type": "mistral", "sliding_window": 5},
    "qwen2": QWEN,
    "qwen3": {"model_type": "qwen3", "head_dim": 12},
}
IDS = [5, 17, 3, 88, 41, 9, 60, 2, 33, 5, 17, 80]


def norm(x, gain, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * gain


def rotate(x, angles):
    half = x.shape[-1] // 2
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    first, second = x[..., :half], x[..., half:]
    return np.concatenate((first * cos - second * sin, second * cos + first * sin), -1)


def forward(folder, ids, adapter=None):
    """Logits at every position, float64 [len(ids), vocab]; the adapter's products added to its layers."""
    config = ModelConfig.from_folder(folder)
    w = {name: value.astype(np.float64) for name, value in load_file(folder / "model.safetensors").items()}
    low = load_file(adapter / "adapter_model.safetensors") if adapter else {}

    def linear(x, name):
        y = x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0.0)
        a, b = (low.get(f"base_model.model.{name}.lora_{side}.weight") for side in "AB")
        return y if a is None else y + 2.0 * (x @ a.T.astype(np.float64)) @ b.T  # lora_alpha / r = 8 / 4

    count, heads, kv, size = len(ids), config.num_attention_heads, config.num_key_value_heads, config.head_dim
    angles = np.arange(count)[:, None] * inverse_frequencies(config)[None].astype(np.float64)
    x = w["model.embed_tokens.weight"][ids]
    distance = np.arange(count)[:, None] - np.arange(count)[None]
    for i in range(config.num_hidden_layers):
        layer, window = f"model.layers.{i}.", config.window(i)
        h = norm(x, w[f"{layer}input_layernorm.weight"], config.rms_norm_eps)
        q, k, v = (linear(h, f"{layer}self_attn.{part}_proj").reshape(count, -1, size) for part in "qkv")
        if config.qk_norm:
            q = norm(q, w[f"{layer}self_attn.q_norm.weight"], config.rms_norm_eps)
            k = norm(k, w[f"{layer}self_attn.k_norm.weight"], config.rms_norm_eps)
        q, k = rotate(q, angles), rotate(k, angles)
        seen = (distance >= 0) & (distance < window if window else True)
        mixed = []
        for head in range(heads):
            group = head // (heads // kv)
            scores = np.where(seen, q[:, head] @ k[:, group].T / np.sqrt(size), -np.inf)
            p = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(p / p.sum(-1, keepdims=True) @ v[:, group])
        x = x + linear(np.concatenate(mixed, -1), f"{layer}self_attn.o_proj")
        h = norm(x, w[f"{layer}post_attention_layernorm.weight"], config.rms_norm_eps)
        gate = linear(h, f"{layer}mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(h, f"{layer}mlp.up_proj"), f"{layer}mlp.down_proj")
    x = norm(x, w["model.norm.weight"], config.rms_norm_eps)
    return x @ w["model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"].T


@pytest.mark.parametrize("name", SHAPES)
def test_logits_are_those_of_the_naive_pass(name, tmp_path):
    changes = SHAPES[name]
    model = write_model(tmp_path / "model", seed=4, **changes)
    adapter = write_adapter(tmp_path / "adapter", seed=5, model=LLAMA | changes)
    llm = mindcold.load(model, adapter)
    for ids in (IDS, IDS[:1]):
        base, adapted = forward(model, ids), forward(model, ids, adapter)
        np.testing.assert_allclose(llm.logits(ids, "base"), base, atol=1e-4 * np.abs(base).max())
        np.testing.assert_allclose(llm.logits(ids, chunk=5), adapted, atol=1e-4 * np.abs(adapted).max())
    assert np.abs(base - adapted).max() > 1e-2 * np.abs(base).max()


def test_fused_layers_are_made_of_what_the_checkpoint_has(tmp_path):
    config = ModelConfig.from_folder(write_model(tmp_path / "model", **QWEN))
    linear, all_shapes = linear_shapes(config), weight_shapes(config)
    for fused, parts in FUSED.items():
        assert members(f"model.layers.1.{fused}") == tuple(f"model.layers.1.{part}" for part in parts)
    assert members("lm_head") == ("lm_head",)
    assert all(f"{name}.weight" in all_shapes for name in linear)
    assert all_shapes["model.layers.0.self_attn.q_proj.bias"] == (32,)
    assert "model.layers.0.self_attn.o_proj.bias" not in all_shapes


def test_a_factory_tells_an_engine_what_it_needs(tmp_path):
    from mindcold.checkpoint import Checkpoint

    folder = write_model(tmp_path / "model")
    config = ModelConfig.from_folder(folder)
    factory = CausalLMFactory(config, Weights(Checkpoint(folder, config)))
    assert (factory.vocab_size, factory.adapters, factory.cache_shape.num_hidden_layers) == (96, [], 2)
    assert factory.weight_bytes > 4 * 96 * 32
