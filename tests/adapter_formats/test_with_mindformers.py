"""Adapters made by MindFormers and mindpet themselves, read; and adapters written here, read by MindFormers."""

from tests.mindformers.legacy import LEGACY
from tests.mindformers.script import needs_mindformers, run

pytestmark = needs_mindformers

READ = (
    LEGACY
    + """
for concat, targets in ((False, ".*wq|.*wk|.*wv|.*wo|.*w1|.*w2|.*w3"), (True, ".*w_qkv|.*wo|.*w_gate_hidden|.*w2")):
    net = network(concat, targets)
    stored = [p for p in net.get_parameters() if "lora" in p.name]
    assert len(stored) == (28 if concat is False else 16)
    plain = logits(net)
    for item in stored:
        item.set_data(ms.Tensor(0.3 * rng.standard_normal(item.shape), ms.float32))
    expected = logits(net)
    assert np.abs(expected - plain).max() > 1
    states = [{"name": f"adam_m.{p.name}", "data": p} for p in stored]
    output = here / f"run-{concat}" / "checkpoint" / "rank_0"
    output.mkdir(parents=True)
    net.save_pet_config(str(output.parents[1] / "adapter_config.json"))
    everything = [{"name": p.name, "data": p} for p in net.get_parameters()] + states
    ms.save_checkpoint(everything, str(output / "net.ckpt"), append_dict={"epoch_num": 3, "note": "text"})
    ms.save_checkpoint(everything, str(output / "net.safetensors"), format="safetensors")
    for name in ("net.ckpt", "net.safetensors"):
        found = read_adapter(output / name, config)
        assert len(found.pairs) == 14 and found.rank == 4
        if not concat:
            own = {p.name: p.asnumpy() for p in stored}
            names = {"self_attn.q_proj": "attention.wq", "mlp.gate_proj": "feed_forward.w1",
                     "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2"}
            for theirs, legacy in names.items():
                pair, path = found.pairs[f"model.layers.1.{theirs}"], f"model.layers.1.{legacy}.mindpet_delta_lora_"
                assert np.array_equal(pair.a, own[path + "a"])
                assert np.array_equal(pair.b, own[path + "b"] * np.float32(2.5))
        llm = mindcold.load(base, output / name, dtype="float32")
        assert close(llm.logits(IDS, "default"), expected) and close(llm.logits(IDS, "base"), plain)
print("read")
"""
)

WRITE = (
    LEGACY
    + """
from tests.adapter_formats.adapters import write_peft

peft = write_peft(here / "peft", config)
expected = mindcold.load(base, peft, dtype="float32").logits(IDS, "default")
done = convert_adapter(peft, here / "pet", config, "pet")
net = network(False, ".*wq|.*wk|.*wv|.*wo|.*w1|.*w2|.*w3")
assert (done.rank, done.lora_alpha) == (4, 10)
tensors = ms.load_checkpoint(str(here / "pet" / "adapter_model.safetensors"), format="safetensors")
missing, extra = ms.load_param_into_net(net, tensors)
assert not extra and not [name for name in missing if "lora" in name]
assert close(logits(net), expected)
print("written")
"""
)

SLORA = (
    LEGACY
    + """
import json
from mindformers.tools import DictConfig
from mindformers.trainer.utils import load_slora_ckpt
from tests.adapter_formats.adapters import write_peft

peft = write_peft(here / "peft", config)
convert_adapter(peft, here / "slora", config, "slora", name="one")
os.chdir("/")
pet_config = DictConfig(pet_type="slora", adapter_path=str(here / "slora"))
net = get_pet_model(legacy_network(base, batch_size=1, seq_length=32), pet_config)
config_of_run = DictConfig(model=DictConfig(model_config=DictConfig(pet_config=pet_config)), auto_trans_ckpt=False,
                           use_parallel=False)
found = load_slora_ckpt({}, config_of_run, net)
adapter = read_adapter(here / "slora", config, "one")
assert len(found) == 28 and len(adapter.pairs) == 14
pair = adapter.pairs["model.layers.1.mlp.gate_proj"]
a = found["model.layers.1.feed_forward.w1.lora_a"].asnumpy()
b = found["model.layers.1.feed_forward.w1.lora_b"].asnumpy()
assert not a[0].any() and np.array_equal(a[1], pair.a)  # the first is the base, without an update
assert np.allclose(b[1], pair.b.T, rtol=1e-6, atol=0)
print("served")
"""
)

MCORE = """
import os
os.environ |= {"LOCAL_DEFAULT_PATH": os.getcwd(), "CPU_AFFINITY": "False"}
import mindspore as ms, numpy as np
from pathlib import Path
from mindcold.adapter_formats import convert_adapter, read_adapter
from mindcold.config import parse_config
from mindformers.core.context.build_context import build_context
from mindformers.models.qwen3 import Qwen3Config
from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
from mindformers.pet import get_pet_model
from tests.adapter_formats.adapters import write_peft
from tests.folders import LLAMA

build_context({"use_legacy": False, "run_mode": "finetune", "parallel": {},
               "context": {"mode": "GRAPH_MODE", "device_target": "CPU"}})
config = parse_config(LLAMA, "test")
here = Path(os.getcwd())
rng = np.random.default_rng(0)


def network(**switches):
    shape = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, head_dim=8, max_position_embeddings=64)
    net = TrainingQwen3ForCausalLM(Qwen3Config(**shape, **switches))
    settings = net.get_gpt_transformer_config()
    return get_pet_model(net, {"pet_type": "lora", "lora_rank": 4, "lora_alpha": 10, "lora_dropout": 0.0,
                               "target_modules": ".*linear_qkv|.*linear_proj|.*linear_fc1|.*linear_fc2",
                               "freeze_include": ["*"], "freeze_exclude": ["*lora*"]}), net, settings


for layout, attention, mlp in ((None, False, True), ("contiguous", True, False), ("contiguous-attention", True, True),
                               ("contiguous-mlp", False, False)):
    pet, net, settings = network(use_contiguous_weight_layout_attention=attention,
                                 use_interleaved_weight_layout_mlp=mlp)
    assert settings.use_contiguous_weight_layout_attention is attention
    assert settings.use_interleaved_weight_layout_mlp is mlp
    expected, values = {}, {}
    for i in range(2):
        shapes = {"q": 32, "k": 16, "v": 16}
        parts = {x: rng.standard_normal((rows, 4)).astype(np.float32) for x, rows in shapes.items()}
        gate, up = (rng.standard_normal((48, 4)).astype(np.float32) for _ in range(2))
        at = f"decoder.layers.{i}."
        # MindFormers' own arrangement of HuggingFace matrices
        values |= net.convert_hf_weight({f"{at}self_attention.linear_{x}.weight": parts[x] for x in "qkv"}
                                        | {f"{at}mlp.gating.weight": gate, f"{at}mlp.hidden.weight": up})
        expected |= {f"model.layers.{i}.self_attn.{x}_proj": parts[x] for x in "qkv"}
        expected |= {f"model.layers.{i}.mlp.gate_proj": gate, f"model.layers.{i}.mlp.up_proj": up}
    names = []
    for item in pet.get_parameters():
        if "lora_B" in item.name:
            own = values.get(item.name.replace(".lora_B", ""))
            own = rng.standard_normal(item.shape) if own is None else own
            item.set_data(ms.Tensor(own, ms.float32))
        names += [item.name] if "lora" in item.name else []
    ms.save_checkpoint(pet, str(here / "net.ckpt"))
    found = read_adapter(here / "net.ckpt", config, layout=layout, lora_alpha=10)
    a = pet.parameters_dict()["decoder.layers.1.self_attention.linear_qkv.lora_A.weight"].asnumpy()
    assert len(found.pairs) == 14
    assert np.array_equal(found.pairs["model.layers.1.self_attn.v_proj"].a, a)
    for module, b in expected.items():
        assert np.array_equal(found.pairs[module].b, b * np.float32(2.5)), (layout, module)

peft = write_peft(here / "peft", config)
convert_adapter(peft, here / "mcore", config, "mcore")
tensors = ms.load_checkpoint(str(here / "mcore" / "adapter_model.safetensors"), format="safetensors")
assert set(tensors) == set(names)
print("arranged")
"""


def test_legacy_checkpoints_are_read(tmp_path):
    assert run(READ, tmp_path).endswith("read\n")


def test_what_is_written_for_legacy_networks_is_read_by_them(tmp_path):
    assert run(WRITE, tmp_path).endswith("written\n")


def test_s_lora_folders_are_read_by_mindformers(tmp_path):
    assert run(SLORA, tmp_path).endswith("served\n")


def test_mcore_layouts_are_those_of_mindformers(tmp_path):
    assert run(MCORE, tmp_path).endswith("arranged\n")
