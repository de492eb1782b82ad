"""PEFT folders: selection, rank and scaling as peft does them, and refusals that name the field."""

import math
import os

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mindcold.adapter_formats import read_adapter
from mindcold.config import parse_config
from mindcold.errors import AdapterError
from mindcold.model.shapes import linear_shapes
from tests.folders import LLAMA, write_adapter, write_json

CONFIG = parse_config(LLAMA, "test")
PREFIX = "base_model.model."


def write_pairs(folder, modules, ranks=4, extra=(), **settings):
    """An adapter folder with random pairs for exactly these modules."""
    rng = np.random.default_rng(0)
    shapes = linear_shapes(CONFIG)
    tensors = {name: rng.standard_normal((96, 32)).astype(np.float32) for name in extra}
    for module in modules:
        rank = ranks if isinstance(ranks, int) else ranks[module]
        out_size, in_size = shapes[module]
        tensors[f"{PREFIX}{module}.lora_A.weight"] = rng.standard_normal((rank, in_size)).astype(np.float32)
        tensors[f"{PREFIX}{module}.lora_B.weight"] = rng.standard_normal((out_size, rank)).astype(np.float32)
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    write_json(folder / "adapter_config.json", {"peft_type": "LORA", "r": 4, "lora_alpha": 8} | settings)
    return folder


ATTENTION = [name for name in linear_shapes(CONFIG) if "self_attn" in name]
LINEAR = [name for name in linear_shapes(CONFIG) if name != "lm_head"]


@pytest.mark.parametrize(
    ("settings", "modules"),
    [
        ({"target_modules": ["q_proj"]}, [n for n in LINEAR if n.endswith("q_proj")]),
        ({"target_modules": ["lm_head"]}, ["lm_head"]),
        ({"target_modules": ["model.layers.1.mlp.up_proj"]}, ["model.layers.1.mlp.up_proj"]),
        ({"target_modules": "all-linear"}, LINEAR),
        ({"target_modules": "All-Linear", "exclude_modules": ["mlp.up_proj"]}, [n for n in LINEAR if "up_" not in n]),
        ({"target_modules": r".*\.0\.self_attn\..*"}, [n for n in ATTENTION if ".0." in n]),
        ({"target_modules": r".*self_attn\..*", "exclude_modules": r".*\.[kv]_proj"}, None),
        ({"target_modules": ["q_proj", "o_proj"], "layers_to_transform": [1]}, None),
        ({"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": "layers"}, None),
        ({"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": ["blocks", "layers"]}, None),
    ],
)
def test_selection(tmp_path, settings, modules):
    if modules is None:  # spelled out where a comprehension would repeat the rule under test
        modules = {
            r".*self_attn\..*": [f"model.layers.{i}.self_attn.{p}_proj" for i in (0, 1) for p in "qo"],
            "qo": ["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.o_proj"],
            "q": ["model.layers.0.self_attn.q_proj"],
        }[
            settings["target_modules"]
            if isinstance(settings["target_modules"], str)
            else "".join(name[0] for name in settings["target_modules"])
        ]
    adapter = read_adapter(write_pairs(tmp_path, modules, **settings), CONFIG)
    assert sorted(adapter.pairs) == sorted(modules)


def scaling(folder):
    """What B was multiplied with, by module."""
    raw = load_file(folder / "adapter_model.safetensors")
    pairs = read_adapter(folder, CONFIG).pairs
    return {m: float((pair.b / raw[f"{PREFIX}{m}.lora_B.weight"]).mean()) for m, pair in pairs.items()}


def test_scaling_plain_and_rslora(tmp_path):
    modules = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"]
    assert scaling(write_pairs(tmp_path / "a", modules, target_modules=["q_proj"])) == dict.fromkeys(modules, 2.0)
    rs = scaling(write_pairs(tmp_path / "b", modules, target_modules=["q_proj"], use_rslora=True))
    assert rs == pytest.approx(dict.fromkeys(modules, 8 / math.sqrt(4)))


def test_rank_and_alpha_patterns(tmp_path):
    first, second = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"
    folder = write_pairs(
        tmp_path,
        [first, second],
        {first: 2, second: 4},
        target_modules=["q_proj"],
        rank_pattern={"layers.0.self_attn.q_proj": 2},
        alpha_pattern={r"model\.layers\.\d\.self_attn\.q_proj": 3, "q_proj": 100},
    )
    assert scaling(folder) == pytest.approx({first: 1.5, second: 0.75})
    assert read_adapter(folder, CONFIG).rank == 4


def test_modules_to_save_replace_head_and_embedding(tmp_path):
    names = [f"{PREFIX}lm_head.weight", f"{PREFIX}model.embed_tokens.weight"]
    folder = write_pairs(tmp_path, [], extra=names, modules_to_save=["lm_head", "embed_tokens"])
    adapter = read_adapter(folder, CONFIG)
    assert sorted(adapter.replaced) == ["lm_head", "model.embed_tokens"] and not adapter.pairs and adapter.rank == 0


def test_fields_that_do_not_matter_are_ignored(tmp_path):
    folder = write_adapter(tmp_path, lora_dropout=0.1, inference_mode=True, some_future_field=[1], eva_config=None)
    assert len(read_adapter(folder, CONFIG).pairs) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type: 'IA3'"),
        ({"use_dora": True}, "use_dora: True is set"),
        ({"bias": "all"}, "bias: 'all' is set"),
        ({"lora_bias": True}, "lora_bias"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"target_parameters": ["x"]}, "target_parameters"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights: 'pissa_niter_4' changes the base"),
        ({"target_modules": None}, "target_modules: missing"),
        ({"target_modules": ["c_attn"]}, "target_modules: ['c_attn'] selects no"),
        ({"target_modules": ["embed_tokens", "q_proj"]}, "embed_tokens"),
        ({"target_modules": "("}, "target_modules: '(' is not a regular expression"),
        ({"target_modules": {"q": 1}}, "target_modules: a list"),
        ({"modules_to_save": ["norm"]}, "modules_to_save: 'norm' is not supported"),
        ({"r": 0}, "r: an integer"),
        ({"r": 8}, "lora_A.weight: shape [4, 32], but [8, 32]"),
        ({"lora_alpha": -1}, "lora_alpha"),
        ({"rank_pattern": {"q_proj": "x"}}, "rank_pattern: q_proj"),
        ({"layers_to_transform": "all"}, "layers_to_transform"),
        ({"target_modules": ["q_proj"]}, "v_proj.lora_A.weight: not a module that adapter_config.json selects"),
        ({"target_modules": ["q_proj", "v_proj", "k_proj"]}, "k_proj.lora_A.weight: missing"),
    ],
)
def test_refusals_name_the_field(tmp_path, changes, message):
    folder = write_adapter(tmp_path, **changes)
    with pytest.raises(AdapterError) as caught:
        read_adapter(folder, CONFIG)
    assert message in str(caught.value) and str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_adapter_of_another_base(tmp_path):
    folder = write_adapter(tmp_path, model={"hidden_size": 64, "num_attention_heads": 8})
    with pytest.raises(AdapterError, match="made for another base model"):
        read_adapter(folder, CONFIG)


def test_damaged_and_pickled_files(tmp_path):
    folder = write_adapter(tmp_path)
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(AdapterError, match="truncated"):
        read_adapter(folder, CONFIG)
    next(iter(tensors.values()))[0, 0] = np.inf
    save_file(tensors, weights)
    with pytest.raises(AdapterError, match="NaN or infinite"):
        read_adapter(folder, CONFIG)
    weights.rename(folder / "adapter_model.bin")
    with pytest.raises(AdapterError, match="pickle files are never read"):
        read_adapter(folder, CONFIG)
    (folder / "adapter_model.bin").rename(weights)
    (folder / "adapter_config.json").unlink()
    with pytest.raises(AdapterError, match=r"adapter_config\.json: no such file"):
        read_adapter(folder, CONFIG)


def refusal(folder):
    """The message reading an adapter fails with."""
    with pytest.raises(AdapterError) as caught:
        read_adapter(folder, CONFIG)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


ENDLESS = r"(?:(?:\w|\.|..)+)+[^\w.]"


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("target_modules", {"target_modules": ENDLESS}),
        ("exclude_modules", {"exclude_modules": ENDLESS}),
        ("rank_pattern", {"rank_pattern": {ENDLESS: 4}}),
        ("alpha_pattern", {"alpha_pattern": {ENDLESS: 4}}),
        ("layers_pattern", {"layers_pattern": ENDLESS, "layers_to_transform": [0]}),
        ("layers_pattern", {"layers_pattern": ["layers_", ENDLESS], "layers_to_transform": [0]}),
        ("rank_pattern", {"rank_pattern": {f"{ENDLESS}{i}": 4 for i in range(500)}}),
    ],
)
def test_expressions_without_end_are_refused(tmp_path, monkeypatch, field, settings):
    monkeypatch.setattr("mindcold.adapter_formats.patterns.SECONDS", 0.3)
    folder = write_pairs(tmp_path, LINEAR, **{"target_modules": ["q_proj"]} | settings)
    assert f"adapter_config.json: {field}: " in (message := refusal(folder)) and "takes more than 0." in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha_pattern": {"q_proj": float("nan")}}, "alpha_pattern: q_proj: a positive number up to 1e+12"),
        ({"alpha_pattern": {"q_proj": 1e38}}, "alpha_pattern: q_proj: a positive number up to 1e+12"),
        ({"alpha_pattern": {"q_proj": float("inf")}}, "alpha_pattern: q_proj: a positive number"),
        ({"lora_alpha": float("nan")}, "lora_alpha: a number above 0"),
        ({"lora_alpha": float("inf")}, "lora_alpha: a number above 0"),
        ({"lora_alpha": 10**400}, "lora_alpha: a number above 0"),
        ({"rank_pattern": {"q_proj": 10**400}}, "rank_pattern: q_proj: a positive number up to 1e+12"),
        ({"rank_pattern": {"q_proj": 65537}}, "rank_pattern: an integer up to 65536"),
        ({"rank_pattern": {"q_proj": 4.0}}, "rank_pattern: an integer up to 65536"),
        ({"rank_pattern": {"q_proj": True}}, "rank_pattern: q_proj: a positive number"),
        ({"rank_pattern": {"(" * 900: 4}}, "rank_pattern: '((((((((((((((((((((((((((((((((((((((((((((((... is not"),
        ({"rank_pattern": {"x" * 1001: 4}}, "rank_pattern: a regular expression of up to 1000 characters"),
        ({"layers_pattern": 5, "layers_to_transform": 0}, "layers_pattern: a pattern or a list is expected"),
        ({"layers_pattern": [["x"]], "layers_to_transform": 0}, "layers_pattern: a regular expression of up to"),
        (
            {"layers_pattern": "model.*|x", "layers_to_transform": 0},
            "layers_pattern: 'model.*|x' leaves out the number",
        ),
        ({"layers_to_transform": "0" * 10**6}, "layers_to_transform: layer numbers are expected, found '000"),
        ({"target_modules": [["q_proj"] * 10**5]}, "target_modules: a list of names is expected"),
        ({"modules_to_save": ["x" * 10**6]}, "modules_to_save: 'xxx"),
        ({"use_dora": ["x" * 10**6]}, "use_dora: ['xxx"),
        ({"peft_type": "x" * 10**6}, "peft_type: 'xxx"),
    ],
)
def test_settings_of_any_kind_are_one_short_line(tmp_path, settings, message):
    folder = write_pairs(tmp_path, ATTENTION, **{"target_modules": ["q_proj"]} | settings)
    assert message in refusal(folder)


def test_a_group_in_layers_pattern_does_not_hide_the_number(tmp_path):
    modules = [name for name in LINEAR if ".1." in name and name.endswith("q_proj")]
    settings = {"target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": "(layers)"}
    assert list(read_adapter(write_pairs(tmp_path, modules, **settings), CONFIG).pairs) == modules


def test_updates_that_overflow_when_scaled_are_refused(tmp_path):
    folder = write_pairs(tmp_path, ["lm_head"], target_modules=["lm_head"], lora_alpha=1e12)
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: value * np.float32(1e30) for name, value in tensors.items()}, folder / "adapter_model.safetensors")
    assert "lm_head: matrix B, scaled by alpha and rank, holds NaN or infinite values" in refusal(folder)
    wide = {name: np.full(value.shape, 1e300) for name, value in tensors.items()}
    save_file(wide, folder / "adapter_model.safetensors")
    assert "lora_A.weight: holds NaN or infinite values" in refusal(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors", "lora_adapter.json", "x.ckpt"])
def test_a_file_that_is_none_is_refused_unopened(tmp_path, name):
    folder = write_pairs(tmp_path / "adapter", ATTENTION, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    if name == "x.ckpt":
        (folder / "adapter_model.safetensors").unlink()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert f"{name}: a named pipe, socket or device, where a file is expected" in refusal(folder)
