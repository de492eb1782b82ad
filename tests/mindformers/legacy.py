"""How programs that try MindFormers' LlamaForCausalLM with its own LoRA begin: small networks with known weights."""

LEGACY = """
import os
os.environ |= {"LOCAL_DEFAULT_PATH": os.getcwd(), "CPU_AFFINITY": "False"}
import mindspore as ms, numpy as np
from pathlib import Path
from safetensors.numpy import load_file
import mindcold
from mindcold.adapter_formats import convert_adapter, read_adapter
from mindcold.config import ModelConfig
from mindformers.core.context.build_context import build_context
from mindformers.models.llama import LlamaConfig, LlamaForCausalLM
from mindformers.pet import get_pet_model
from mindformers.utils.convert_utils import ffn_concat_hf2mg, qkv_concat_hf2mg
from tests.folders import write_model

build_context({"use_legacy": True, "run_mode": "predict", "parallel": {},
               "context": {"mode": "GRAPH_MODE", "device_target": "CPU", "postprocess_use_numpy": True}})
kinds = ("compute_dtype", "param_init_type", "softmax_compute_type", "rotary_dtype", "layernorm_compute_type")
here = Path(os.getcwd())
base = write_model(here / "model")
config = ModelConfig.from_folder(base)
weights = load_file(base / "model.safetensors")
rng = np.random.default_rng(0)
IDS = list(range(3, 35))


def network(concat, targets):
    settings = LlamaConfig(batch_size=1, seq_length=32, hidden_size=32, num_layers=2, num_heads=4, n_kv_heads=2,
                           vocab_size=96, intermediate_size=48, use_past=False, use_rope_slice=True, qkv_concat=concat,
                           fused_rms_norm=False, use_flash_attention=False, **dict.fromkeys(kinds, "float32"))
    found = get_pet_model(LlamaForCausalLM(settings), {"pet_type": "lora", "lora_rank": 4, "lora_alpha": 10,
                          "lora_dropout": 0.0, "target_modules": targets})
    values = {LlamaForCausalLM.convert_name(name): value for name, value in weights.items()}
    for i in range(2) if concat else ():
        qkv = np.concatenate([values.pop(f"model.layers.{i}.attention.w{x}.weight") for x in "qkv"])
        both = np.concatenate([values.pop(f"model.layers.{i}.feed_forward.w{x}.weight") for x in "13"])
        values[f"model.layers.{i}.attention.w_qkv.weight"] = qkv_concat_hf2mg(qkv, 4, 2, 32)
        values[f"model.layers.{i}.feed_forward.w_gate_hidden.weight"] = ffn_concat_hf2mg(both, 48)
    missing, extra = ms.load_param_into_net(found, {n: ms.Parameter(v, name=n) for n, v in values.items()})
    assert not extra and all("lora" in name for name in missing), (missing, extra)
    return found.set_train(False)


def logits(net):
    return net(ms.Tensor([IDS], ms.int32))[0].asnumpy()[0]


def close(found, expected):
    return np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()
"""
