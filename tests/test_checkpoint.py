"""Weights: shards, dtypes, and damage of every kind refused by file and tensor."""

import json
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.errors import ModelError
from mindcold.model import Weights
from tests.folders import LLAMA, write_json, write_model

NORM = "model.norm.weight"


def open_weights(folder):
    return Weights(Checkpoint(folder, ModelConfig.from_folder(folder)))


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_every_float_dtype_becomes_float32(tmp_path, dtype):
    folder = write_model(tmp_path)
    expected = load_file(folder / "model.safetensors")[NORM].astype(dtype).astype(np.float32)
    rewrite(folder, lambda t: t.update({name: value.astype(dtype) for name, value in t.items()}))
    np.testing.assert_array_equal(open_weights(folder).vector(NORM), expected)


def test_shards_are_found_through_the_index(tmp_path):
    folder = write_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    index = {}
    for i, part in enumerate((names[::2], names[1::2])):
        save_file({name: tensors[name] for name in part}, folder / f"model-{i}.safetensors")
        index |= dict.fromkeys(part, f"model-{i}.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": index})
    checkpoint = Checkpoint(folder, ModelConfig.from_folder(folder))
    for name in names:
        np.testing.assert_array_equal(checkpoint.tensor(name, tensors[name].shape), tensors[name])
        np.testing.assert_array_equal(checkpoint.rows(name, tensors[name].shape, 3, 9), tensors[name][3:9])
    open_weights(folder)


def test_the_stored_type_is_named_only_if_all_matrices_have_it(tmp_path):
    folder = write_model(tmp_path)

    def stored():
        return Checkpoint(folder, ModelConfig.from_folder(folder)).stored_dtype

    assert stored() == "F32"
    matrices = [name for name, value in load_file(folder / "model.safetensors").items() if value.ndim == 2]
    rewrite(folder, lambda t: t.update({name: t[name].astype(ml_dtypes.bfloat16) for name in matrices}))
    assert stored() == "BF16"
    rewrite(folder, lambda t: t.update({matrices[0]: t[matrices[0]].astype(np.float32)}))
    assert stored() == "mixed"


def test_tied_embeddings_need_no_lm_head(tmp_path):
    folder = write_model(tmp_path, tie_word_embeddings=True)
    weights = open_weights(folder)
    assert weights.matrix("lm_head") is weights.matrix("model.embed_tokens")


def damage_truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def damage_garbage(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 4096)


def damage_nan(folder):
    rewrite(folder, lambda t: t[NORM].__setitem__(3, np.nan))


def damage_integers(folder):
    rewrite(folder, lambda t: t.update({NORM: np.ones(32, np.int32)}))


def damage_shape(folder):
    rewrite(folder, lambda t: t.update({NORM: np.ones(31, np.float32)}))


def damage_missing_tensor(folder):
    rewrite(folder, lambda t: t.pop(NORM))


def damage_fewer_layers(folder):
    raw = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", raw | {"num_hidden_layers": 1})


def damage_more_layers(folder):
    raw = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", raw | {"num_hidden_layers": 3})


def damage_pickle(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")


def damage_missing_file(folder):
    (folder / "model.safetensors").unlink()


def damage_index_outside(folder):
    (folder / "model.safetensors").rename(folder.parent / "out.safetensors")
    write_json(folder / "model.safetensors.index.json", {"weight_map": {NORM: "../out.safetensors"}})


def damage_index_missing_shard(folder):
    (folder / "model.safetensors").unlink()
    write_json(folder / "model.safetensors.index.json", {"weight_map": {NORM: "model-1.safetensors"}})


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (damage_truncate, "model.safetensors", "truncated"),
        (damage_garbage, "model.safetensors", "not a safetensors file"),
        (damage_nan, "model.safetensors", f"{NORM}: holds NaN"),
        (damage_integers, "model.safetensors", f"{NORM}: dtype I32"),
        (damage_shape, "model.safetensors", f"{NORM}: shape [31], but [32]"),
        (damage_missing_tensor, "", f"{NORM}: missing"),
        (damage_fewer_layers, "config.json", "num_hidden_layers: 1, but"),
        (damage_more_layers, "", "model.layers.2.self_attn.q_proj.weight: missing"),
        (damage_pickle, "pytorch_model.bin", "pickle files are never read"),
        (damage_missing_file, "model.safetensors", "no such file"),
        (damage_index_outside, "model.safetensors.index.json", "weight_map: '../out.safetensors'"),
        (damage_index_missing_shard, "model-1.safetensors", "no such file"),
    ],
)
def test_damage_is_one_line_with_file_and_field(tmp_path, damage, file, message):
    folder = write_model(tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelError) as caught:
        open_weights(folder)
    text = str(caught.value)
    assert str(folder / file) in text and message in text and "\n" not in text


def sharded(folder, change):
    """A model in two shards, whose last norm is in both, in the second changed."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "a.safetensors")
    save_file({NORM: change(tensors[NORM])}, folder / "b.safetensors")
    names = dict.fromkeys(tensors, "a.safetensors") | {NORM: "b.safetensors"}
    write_json(folder / "model.safetensors.index.json", {"weight_map": names})
    return folder


@pytest.mark.parametrize(
    "change",
    [lambda norm: norm + 1, lambda norm: norm[:-1].copy(), lambda norm: norm.astype(np.float16), lambda norm: norm * 0],
)
def test_a_tensor_of_two_shards_has_one_value(tmp_path, change):
    with pytest.raises(ModelError, match=rf"b\.safetensors: {NORM}: differs from .* in a\.safetensors"):
        open_weights(sharded(write_model(tmp_path), change))
    sharded(write_model(tmp_path / "same"), lambda norm: norm)
    open_weights(tmp_path / "same")


@pytest.mark.parametrize(
    "sizes",
    [
        {"vocab_size": 1 << 24},
        {"intermediate_size": 1 << 24},
        {"num_hidden_layers": 4096},
        {"head_dim": 1 << 20},
        {"hidden_size": 1 << 24},
    ],
)
def test_sizes_are_compared_with_the_files_before_memory_is_taken(tmp_path, sizes, monkeypatch):
    folder = write_model(tmp_path)
    write_json(folder / "config.json", LLAMA | sizes)
    monkeypatch.setattr("mindcold.model.weights.lora_linear.choose", lambda backend: NoMemory)
    with pytest.raises(ModelError, match=r"disagree|missing from"):
        open_weights(folder)


class NoMemory:
    """A body of lora_linear whose weights must not be made."""

    make = None


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_file_that_is_none_is_refused_unopened(tmp_path, name, make):
    folder = write_model(tmp_path)
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises(ModelError, match=rf"{name}: a (folder|named pipe, socket or device), where a file"):
        open_weights(folder)
