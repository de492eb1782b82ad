"""Every format to every other: the same update, bits of A and B kept, and a folder that is whole or not there."""

import itertools
import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mindcold.adapter_formats import FORMATS, convert_adapter, read_adapter
from mindcold.adapter_formats.peft import PREFIX
from mindcold.config import parse_config
from mindcold.errors import AdapterError
from tests.adapter_formats.adapters import random_pairs, write_peft
from tests.folders import LLAMA, write_json

CONFIG = parse_config(LLAMA, "test")


def stored(folder):
    """The tensors of a PEFT folder, and its rank and alpha."""
    raw = json.loads((folder / "adapter_config.json").read_text())
    return load_file(folder / "adapter_model.safetensors"), raw["r"], raw["lora_alpha"]


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("first", "second"), itertools.product(FORMATS, FORMATS))
def test_there_and_back_again_keeps_all_bits(tmp_path, first, second):
    source = write_peft(tmp_path / "peft", CONFIG)
    convert_adapter(source, tmp_path / "a", CONFIG, first)
    done = convert_adapter(tmp_path / "a", tmp_path / "b", CONFIG, second)
    assert (done.source, done.target, done.modules) == (first, second, 14)
    adapter, expected = (read_adapter(path, CONFIG, "x") for path in (tmp_path / "b", source))
    assert adapter.rank == expected.rank == 4 and adapter.pairs.keys() == expected.pairs.keys()
    for module, pair in expected.pairs.items():
        assert np.array_equal(adapter.pairs[module].a, pair.a) and np.array_equal(adapter.pairs[module].b, pair.b)
    convert_adapter(tmp_path / "b", tmp_path / "again", CONFIG, "peft")
    found, original = stored(tmp_path / "again"), stored(source)
    assert same(found[0], original[0]) and found[1:] == original[1:] == (4, 10)


def test_only_fused_layers_with_matrices_of_their_own_grow(tmp_path):
    pairs = random_pairs(CONFIG)
    separate = convert_adapter(write_peft(tmp_path / "own", CONFIG, pairs), tmp_path / "a", CONFIG, "mcore")
    assert separate.rank == 12 and separate.lora_alpha == 30 and len(separate.stacked) == 4
    assert separate.stacked[0] == "decoder.layers.0.self_attention.linear_qkv"
    for layer in (0, 1):
        at = f"model.layers.{layer}."
        for other in ("self_attn.k_proj", "self_attn.v_proj"):
            pairs[at + other] = pairs[f"{at}self_attn.q_proj"][0], pairs[at + other][1]
        pairs[f"{at}mlp.up_proj"] = pairs[f"{at}mlp.gate_proj"][0], pairs[f"{at}mlp.up_proj"][1]
    shared = convert_adapter(write_peft(tmp_path / "one", CONFIG, pairs), tmp_path / "b", CONFIG, "mcore")
    assert shared.rank == 4 and shared.lora_alpha == 10 and not shared.stacked
    tensors = load_file(tmp_path / "b" / "adapter_model.safetensors")
    assert tensors["decoder.layers.1.self_attention.linear_qkv.lora_B.weight"].shape == (64, 4)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize(
    "settings",
    [{"alpha_pattern": {"q_proj": 7}, "use_rslora": True}, {"alpha_pattern": {"q_proj": 6}, "lora_alpha": 5}],
)
def test_ranks_and_alphas_of_their_own(tmp_path, target, settings):
    q, down = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"
    pairs = random_pairs(CONFIG, 3, modules=[q]) | random_pairs(CONFIG, 5, modules=[down])
    source = write_peft(tmp_path / "peft", CONFIG, pairs, **settings)
    done = convert_adapter(source, tmp_path / "a", CONFIG, target)
    expected, found = read_adapter(source, CONFIG), read_adapter(tmp_path / "a", CONFIG)
    assert found.pairs.keys() == expected.pairs.keys() == {q, down} and done.rank == found.rank == 5
    for module in (q, down):
        assert np.array_equal(found.pairs[module].a, expected.pairs[module].a)
        assert np.array_equal(found.pairs[module].b, expected.pairs[module].b)


def test_an_alpha_that_is_no_integer_goes_into_b(tmp_path):
    source = write_peft(tmp_path / "peft", CONFIG, lora_alpha=1.7)
    done = convert_adapter(source, tmp_path / "a", CONFIG, "pet")
    assert done.lora_alpha == done.rank == 4
    q = "model.layers.0.self_attn.q_proj"
    expected, found = (read_adapter(path, CONFIG).pairs[q] for path in (source, tmp_path / "a"))
    assert np.array_equal(found.b, expected.b)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_the_stored_type_is_kept(tmp_path, target, dtype):
    source = write_peft(tmp_path / "peft", CONFIG, dtype=dtype)
    convert_adapter(source, tmp_path / "a", CONFIG, target)
    convert_adapter(tmp_path / "a", tmp_path / "b", CONFIG, "peft")
    found, expected = stored(tmp_path / "b")[0], stored(source)[0]
    assert {value.dtype.name for value in found.values()} == {np.dtype(dtype).name} and same(found, expected)


def test_layouts_are_noted_and_can_be_chosen(tmp_path):
    source = write_peft(tmp_path / "peft", CONFIG)
    tensors = {}
    for layout in ("interleaved", "contiguous", "contiguous-attention", "contiguous-mlp"):
        convert_adapter(source, tmp_path / layout, CONFIG, "mcore", layout=layout)
        convert_adapter(tmp_path / layout, tmp_path / f"{layout}-back", CONFIG, "peft")
        assert same(stored(tmp_path / f"{layout}-back")[0], stored(source)[0])
        tensors[layout] = load_file(tmp_path / layout / "adapter_model.safetensors")
    fc1 = "decoder.layers.0.mlp.linear_fc1.lora_B.weight"
    assert not np.array_equal(tensors["interleaved"][fc1], tensors["contiguous"][fc1])
    assert np.array_equal(tensors["interleaved"][fc1], tensors["contiguous-attention"][fc1])
    with pytest.raises(AdapterError, match=r"layout: 'contiguous' was given, but .* says 'interleaved'"):
        read_adapter(tmp_path / "interleaved", CONFIG, layout="contiguous")


def test_whole_weights_stay_in_peft(tmp_path):
    names = ["model.layers.0.self_attn.q_proj"]
    source = write_peft(tmp_path / "peft", CONFIG, random_pairs(CONFIG, modules=names), modules_to_save=["lm_head"])
    file = source / "adapter_model.safetensors"
    head = np.ones((96, 32), np.float32)
    save_file(load_file(file) | {f"{PREFIX}lm_head.weight": head}, file)
    convert_adapter(source, tmp_path / "a", CONFIG, "peft")
    assert np.array_equal(read_adapter(tmp_path / "a", CONFIG).replaced["lm_head"], head)
    with pytest.raises(AdapterError, match="lm_head: the adapter replaces its whole weight"):
        convert_adapter(source, tmp_path / "b", CONFIG, "mcore")
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob("partial-*"))


def test_the_head(tmp_path):
    source = write_peft(tmp_path / "peft", CONFIG, random_pairs(CONFIG, modules=["lm_head"]))
    expected = read_adapter(source, CONFIG).pairs["lm_head"]
    for target in ("mcore", "pynative", "slora"):
        convert_adapter(source, tmp_path / target, CONFIG, target)
        assert np.array_equal(read_adapter(tmp_path / target, CONFIG).pairs["lm_head"].b, expected.b)
    assert "output_layer.lora_a" in load_file(tmp_path / "pynative" / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="MindFormers would lose its update in the pet format"):
        convert_adapter(source, tmp_path / "pet", CONFIG, "pet")


def test_nothing_is_overwritten_and_names_are_checked(tmp_path):
    source = write_peft(tmp_path / "peft", CONFIG)
    (tmp_path / "there").mkdir()
    with pytest.raises(AdapterError, match="there: exists already; name a new folder"):
        convert_adapter(source, tmp_path / "there", CONFIG, "pet")
    for keyword, match in (
        ({"target": "other"}, "to: 'other' is not one of peft, pet"),
        ({"target": "slora", "name": "../up"}, "name: '../up'"),
        ({"target": "pet", "layout": "contiguous"}, "peft has no fused layers and pet is always interleaved"),
        ({"target": "mcore", "layout": "round"}, "layout: 'round' is not one of interleaved"),
    ):
        with pytest.raises(AdapterError, match=match):
            convert_adapter(source, tmp_path / "new", CONFIG, **keyword)
    assert not (tmp_path / "new").exists()


def test_s_lora_indexes(tmp_path):
    one = convert_adapter(write_peft(tmp_path / "p", CONFIG), tmp_path / "s", CONFIG, "slora", name="one").folder
    assert json.loads((one / "lora_adapter.json").read_text()) == {"one": str(one / "one")}
    targets = json.loads((one / "one" / "adapter_config.json").read_text())["target_modules"]
    assert targets == ["w1", "w2", "w3", "wk", "wo", "wq", "wv"]
    expected = read_adapter(one, CONFIG, "one")
    one.rename(tmp_path / "moved")
    for path in (tmp_path / "moved", tmp_path / "moved" / "one", tmp_path / "moved" / "one" / "adapter_model.ckpt"):
        found = read_adapter(path, CONFIG)
        assert found.name == "default" and found.pairs.keys() == expected.pairs.keys()
    index = tmp_path / "moved" / "lora_adapter.json"
    write_json(index, {"one": "one", "two": "nowhere"})
    assert read_adapter(tmp_path / "moved", CONFIG, "one").pairs
    for name, match in (("three", "'three' is not one of its adapters one, two"), ("two", "two: nowhere: no such")):
        with pytest.raises(AdapterError, match=match):
            read_adapter(tmp_path / "moved", CONFIG, name)
    for content, match in (({}, "found none"), ({"one": 3}, "one: the path of a folder")):
        write_json(index, content)
        with pytest.raises(AdapterError, match=match):
            read_adapter(tmp_path / "moved", CONFIG, "one")
