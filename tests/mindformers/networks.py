"""MindFormers networks of small random model folders, as their users build them."""

import os
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.model.shapes import weight_shapes
from tests.mindformers import cpu_stand_ins

CONTEXT = {"mode": "GRAPH_MODE", "device_target": "CPU", "postprocess_use_numpy": True}


def mcore_network(folder: Path) -> Any:
    """The inference network of a Qwen2 or Qwen3 folder, float32, under the stand-ins of a CPU."""
    os.environ["RUN_MODE"] = "predict"
    from mindformers import AutoModel, MindFormerConfig, build_context

    build_context({"use_legacy": False, "run_mode": "predict", "context": dict(CONTEXT), "parallel": {}})
    raw = ModelConfig.from_folder(folder).to_hf()
    raw |= {
        "seq_length": 256,
        "block_size": cpu_stand_ins.BLOCK,
        "num_blocks": cpu_stand_ins.SLOTS // cpu_stand_ins.BLOCK,
        "pad_token_id": 0,
        "compute_dtype": "float32",
        "params_dtype": "float32",
        "layernorm_compute_dtype": "float32",
        "softmax_compute_dtype": "float32",
        "rotary_dtype": "float32",
    }
    settings = {
        "use_legacy": False,
        "run_mode": "predict",
        "pretrained_model_dir": str(folder),
        "model": {"model_config": raw},
        "generation": {},
    }
    network = AutoModel.from_config(MindFormerConfig(**settings))
    network.load_weights(str(folder))
    return cpu_stand_ins.fit(network)


def legacy_network(folder: Path, **changes: Any) -> Any:
    """The legacy network of a Llama folder, without a cache, float32, with `changes` to its configuration."""
    from mindformers import LlamaConfig, LlamaForCausalLM, build_context
    from mindformers.utils.convert_utils import ffn_concat_hf2mg, qkv_concat_hf2mg

    build_context({"use_legacy": True, "run_mode": "predict", "context": dict(CONTEXT), "parallel": {}})
    ours = ModelConfig.from_folder(folder)
    kinds = ("compute_dtype", "param_init_type", "softmax_compute_type", "rotary_dtype", "layernorm_compute_type")
    settings = {
        "seq_length": 128,
        "vocab_size": ours.vocab_size,
        "hidden_size": ours.hidden_size,
        "intermediate_size": ours.intermediate_size,
        "num_layers": ours.num_hidden_layers,
        "num_heads": ours.num_attention_heads,
        "n_kv_heads": ours.num_key_value_heads,
        "max_position_embedding": ours.max_position_embeddings,
        "rms_norm_eps": ours.rms_norm_eps,
        "theta": ours.rope.theta,
        "tie_word_embeddings": ours.tie_word_embeddings,
        "pad_token_id": 0,
        "use_past": False,
        "use_rope_slice": True,
        "fused_rms_norm": False,
        "use_flash_attention": False,
    } | dict.fromkeys(kinds, "float32")
    config = LlamaConfig(**settings | changes)
    network, checkpoint = LlamaForCausalLM(config), Checkpoint(folder, ours)
    weights = {
        network.convert_name(name): checkpoint.tensor(name, shape) for name, shape in weight_shapes(ours).items()
    }
    for i in range(ours.num_hidden_layers) if config.qkv_concat else ():
        attention, mlp = f"model.layers.{i}.attention.w", f"model.layers.{i}.feed_forward.w"
        qkv = np.concatenate([weights.pop(f"{attention}{part}.weight") for part in "qkv"])
        both = np.concatenate([weights.pop(f"{mlp}{part}.weight") for part in "13"])
        weights[f"{attention}_qkv.weight"] = qkv_concat_hf2mg(
            qkv, ours.num_attention_heads, ours.num_key_value_heads, ours.hidden_size
        )
        weights[f"{mlp}_gate_hidden.weight"] = ffn_concat_hf2mg(both, ours.intermediate_size)
    named = {name: ms.Parameter(ms.Tensor(value), name=name) for name, value in weights.items()}
    missing, unused = ms.load_param_into_net(network, named)
    assert not missing and not unused
    network.argmax = lambda x, dim: ms.ops.argmax(x, dim)  # mint.argmax is not there outside of graphs
    return network
