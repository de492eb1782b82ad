"""How programs that try MindFormers' LlamaForCausalLM with its own LoRA begin: small networks with known weights."""

LEGACY = """
import os
os.environ |= {"LOCAL_DEFAULT_PATH": os.getcwd(), "CPU_AFFINITY": "False"}
import mindspore as ms, numpy as np
from pathlib import Path
import mindcold
from mindcold.adapter_formats import convert_adapter, read_adapter
from mindcold.config import ModelConfig
from mindformers.pet import get_pet_model
from tests.folders import write_model
from tests.mindformers.networks import legacy_network

here = Path(os.getcwd())
base = write_model(here / "model")
config = ModelConfig.from_folder(base)
rng = np.random.default_rng(0)
IDS = list(range(3, 35))


def network(concat, targets):
    lora = {"pet_type": "lora", "lora_rank": 4, "lora_alpha": 10, "lora_dropout": 0.0, "target_modules": targets}
    found = legacy_network(base, batch_size=1, seq_length=32, qkv_concat=concat)
    return get_pet_model(found, lora).set_train(False)


def logits(net):
    return net(ms.Tensor([IDS], ms.int32))[0].asnumpy()[0]


def close(found, expected):
    return np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()
"""
