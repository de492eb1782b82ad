"""MindFormers networks of small random model folders, as their users build them."""

import os
from pathlib import Path
from typing import Any

import mindspore as ms

from mindcold.config import ModelConfig
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
    """The legacy network of a Llama folder, without a cache, float32."""
    import safetensors.numpy
    from mindformers import LlamaConfig, LlamaForCausalLM, build_context

    build_context({"use_legacy": True, "run_mode": "predict", "context": dict(CONTEXT), "parallel": {}})
    ours = ModelConfig.from_folder(folder)
    config = LlamaConfig(
        **(
            {
                "seq_length": 128,
                "vocab_size": ours.vocab_size,
                "hidden_size": ours.hidden_size,
                "intermediate_size": ours.intermediate_size,
                "num_layers": ours.num_hidden_layers,
                "num_heads": ours.num_attention_heads,
                "n_kv_heads": ours.num_key_value_heads,
                "max_position_embedding": ours.max_position_embeddings,
                "rms_norm_eps": ours.rms_norm_eps,
                "theta": ours.rope["theta"],
                "tie_word_embeddings": ours.tie_word_embeddings,
                "pad_token_id": 0,
                "bos_token_id": 1,
                "eos_token_id": 2,
                "use_past": False,
                "use_rope_slice": True,
                "fused_rms_norm": False,
                "use_flash_attention": False,
                "compute_dtype": "float32",
                "layernorm_compute_type": "float32",
                "softmax_compute_type": "float32",
                "rotary_dtype": "float32",
                "param_init_type": "float32",
                "embedding_init_type": "float32",
            }
            | changes
        )
    )
    network = LlamaForCausalLM(config)
    network.set_train(False)
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    names = {network.convert_name(name): value for name, value in weights.items()}
    named = {name: ms.Parameter(ms.Tensor(value), name=name) for name, value in names.items()}
    missing, _ = ms.load_param_into_net(network, named)
    assert not missing
    network.argmax = lambda x, dim: ms.ops.argmax(x, dim)
    return network
