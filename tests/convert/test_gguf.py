"""GGUF files to HuggingFace folders: weights, configuration, and one line for what cannot be converted."""

import json
import struct
from unittest import mock

import gguf
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

import mindcold
from mindcold.config import ModelConfig, parse_config
from mindcold.convert import convert
from mindcold.convert.row_order import to_halves
from mindcold.errors import MindcoldError
from mindcold.model.rope import inverse_frequencies
from tests.convert.gguf_files import permuted, weights_of, write_gguf
from tests.folders import LLAMA, write_model

SHAPES = {
    "llama": {},
    "llama, tied": {"tie_word_embeddings": True},
    "llama, biases": {"attention_bias": True, "mlp_bias": True},
    "qwen2": {"model_type": "qwen2", "rope_theta": 1e6},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
}


@pytest.mark.parametrize("name", list(SHAPES))
def test_weights_and_configuration_come_back(tmp_path, name):
    raw = LLAMA | SHAPES[name]
    expected = write_gguf(tmp_path / "model.gguf", raw)
    folder = convert(tmp_path / "model.gguf", tmp_path / "out", "float32")
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
    assert ModelConfig.from_folder(folder) == parse_config(raw, "test")
    assert not list(tmp_path.glob("partial-*")) and folder.stat().st_mode & 0o777 == 0o755


def test_the_folder_decodes_like_the_model_it_was_made_from(tmp_path):
    write_model(tmp_path / "model", seed=5)
    write_gguf(tmp_path / "model.gguf", tensors=load_file(tmp_path / "model" / "model.safetensors"))
    folder = convert(tmp_path / "model.gguf", tmp_path / "out", "float32")
    prompt = [5, 17, 3, 88, 41]
    np.testing.assert_array_equal(
        mindcold.load(folder).logits(prompt), mindcold.load(tmp_path / "model").logits(prompt)
    )


def test_llama_rows_are_put_back():
    """By definition: GGUF interleaves the two halves of each head."""
    rows = np.arange(8)[:, None]
    assert permuted(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    for heads in (1, 2, 4):
        np.testing.assert_array_equal(to_halves(permuted(rows, heads), heads), rows)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_1", "Q5_0"])
def test_quantised_weights(tmp_path, kind):
    """Dequantised by the formats' own reference, row by row, and rounded once for bfloat16."""
    kind = gguf.GGMLQuantizationType[kind]
    raw = LLAMA | {"intermediate_size": 64}
    weights = write_gguf(tmp_path / "model.gguf", raw, quantise=kind)
    with mock.patch("mindcold.convert.gguf_file.ROWS_AT_ONCE", 7):
        folder = convert(tmp_path / "model.gguf", tmp_path / "out")
    found = load_file(folder / "model.safetensors")
    for name, value in weights.items():
        if value.ndim == 2:
            value = gguf.quants.dequantize(gguf.quants.quantize(value, kind), kind)
        assert found[name].dtype.name == "bfloat16"
        rounded = value.astype(ml_dtypes.bfloat16).astype(np.float32)
        np.testing.assert_array_equal(found[name].astype(np.float32), rounded, err_msg=name)
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_large_models_are_written_in_shards(tmp_path):
    expected = write_gguf(tmp_path / "model.gguf")
    folder = convert(tmp_path / "model.gguf", tmp_path / "out", "float32", shard=20_000)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in expected.values())
    files = sorted(set(index["weight_map"].values()))
    assert len(files) > 2 and all((folder / name).stat().st_size < 25_000 for name in files)
    assert mindcold.load(folder).logits([3, 4]).shape == (2, 96)


def test_rope_scaling_of_llama_3_is_recognised(tmp_path):
    scaling = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    raw = LLAMA | {"rope_theta": 500000.0, "head_dim": 64, "rope_scaling": scaling}
    raw["rope_scaling"]["original_max_position_embeddings"] = 8192
    config = parse_config(raw, "test")
    plain = inverse_frequencies(parse_config(raw | {"rope_scaling": None}, "test"))
    divisors = (plain / inverse_frequencies(config)).astype(np.float32)
    write_gguf(tmp_path / "model.gguf", raw, tensors=weights_of(raw) | {"rope_freqs.weight": divisors})
    assert ModelConfig.from_folder(convert(tmp_path / "model.gguf", tmp_path / "out", "float32")) == config
    other = weights_of(raw) | {"rope_freqs.weight": divisors**2}
    write_gguf(tmp_path / "other.gguf", raw, tensors=other)
    with pytest.raises(MindcoldError, match=r"other.gguf: rope_freqs.weight: these divisors"):
        convert(tmp_path / "other.gguf", tmp_path / "no")


def test_linear_scaling_and_ends_of_text(tmp_path):
    keys = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    keys |= {"tokenizer.ggml.eot_token_id": 7, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.padding_token_id": 3}
    write_gguf(tmp_path / "model.gguf", keys=keys)
    folder = convert(tmp_path / "model.gguf", tmp_path / "out")
    config = ModelConfig.from_folder(folder)
    assert (config.rope.kind, config.rope.factor, config.eos_token_ids) == ("linear", 4.0, (2, 7))
    assert json.loads((folder / "generation_config.json").read_text()) == {
        "bos_token_id": 1,
        "eos_token_id": [2, 7],
        "pad_token_id": 3,
    }


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"general.architecture": "gemma"}, r"general.architecture: 'gemma' is not one of llama, qwen2, qwen3"),
        ({"llama.block_count": None}, r"llama.block_count: missing"),
        ({"llama.block_count": "2"}, r"llama.block_count: int or list is expected"),
        ({"llama.block_count": 1}, r"blk.1.attn_k.weight: this tensor has no place"),
        ({"llama.block_count": 1 << 30}, r"llama.block_count: an integer from 1 to 4096 is expected"),
        ({"llama.attention.layer_norm_rms_epsilon": 0.0}, r" *rms_norm_eps: a number above 0"),
        ({"llama.block_count": 3}, r"blk.2.attn_q.weight: this tensor is missing"),
        ({"llama.feed_forward_length": 50}, r"blk.0.ffn_gate.weight: shape \[48, 32\], but \[50, 32\]"),
        ({"llama.attention.head_count": 0}, r"llama.attention.head_count: an integer from 1 to 16777216"),
        ({"llama.attention.head_count_kv": 3}, r"llama.attention.head_count_kv: 3 does not divide head_count 4"),
        ({"llama.expert_count": 8}, r"llama.expert_count: 8 is set"),
        ({"llama.rope.scaling.type": "yarn"}, r"llama.rope.scaling.type: 'yarn' is not supported"),
        ({"llama.rope.dimension_count": 4}, r"llama.rope.dimension_count: 4 is not the head size 8"),
        ({"tokenizer.ggml.eos_token_id": 96}, r"tokenizer.ggml.eos_token_id: 96 is not a token id below 96"),
        ({"tokenizer.ggml.model": "bert"}, r"tokenizer.ggml.model: 'bert' is not one of gpt2, llama"),
        ({"tokenizer.ggml.pre": "viking"}, r"tokenizer.ggml.pre: 'viking' is not one of default"),
        ({"tokenizer.ggml.merges": ["a bc"]}, r"tokenizer.ggml.merges: merge 0, 'a bc'"),
        ({"tokenizer.ggml.token_type": [1]}, r"tokenizer.ggml.token_type: 1 types for 96 tokens"),
        ({"tokenizer.ggml.model": "llama"}, r"tokenizer.ggml.scores: missing"),
    ],
)
def test_what_cannot_be_converted_is_one_line(tmp_path, keys, message):
    write_gguf(tmp_path / "model.gguf", keys=keys)
    with pytest.raises(MindcoldError, match=f"model.gguf: {message}") as found:
        convert(tmp_path / "model.gguf", tmp_path / "out")
    assert "\n" not in str(found.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf"]


def test_damaged_files(tmp_path):
    write_gguf(tmp_path / "model.gguf")
    whole = (tmp_path / "model.gguf").read_bytes()
    damaged = tmp_path / "damaged.gguf"
    rng = np.random.default_rng(0)
    for size in (0, 3, 7, 20, *rng.integers(24, len(whole) - 1, 30)):
        damaged.write_bytes(whole[:size])
        with pytest.raises(MindcoldError, match=r"damaged.gguf: truncated or not a GGUF file"):
            convert(damaged, tmp_path / "out")
    damaged.write_bytes(b"PK" + whole[2:])
    with pytest.raises(MindcoldError, match=r"not a GGUF file \(GGUF magic invalid\)"):
        convert(damaged, tmp_path / "out")
    head = whole.index(b"general.architecture")
    for place in rng.integers(4, head + 400, 60):  # a flipped byte is refused or harmless, and nothing half-written
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(bytes(changed))
        try:
            convert(damaged, tmp_path / f"out-{place}")
        except MindcoldError as error:
            assert str(error).startswith(str(damaged)) and "\n" not in str(error)
    with pytest.raises(MindcoldError, match=r"nowhere.gguf: no such file"):
        convert(tmp_path / "nowhere.gguf", tmp_path / "out")
    assert not list(tmp_path.glob("partial-*"))


def test_a_list_that_is_longer_than_the_file(tmp_path):
    """Refused where the file ends, and not read as a list of nothing for as long as it says."""
    name = b"general.x"
    head = struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, len(name)) + name
    for length in (1000, 1 << 60):
        (tmp_path / "model.gguf").write_bytes(head + struct.pack("<IIQ", 9, 0, length) + b"ten bytes.")
        with pytest.raises(MindcoldError, match=r"model.gguf: truncated or not a GGUF file \(ends at byte 67\)"):
            convert(tmp_path / "model.gguf", tmp_path / "out")


def test_damaged_weights(tmp_path):
    weights = weights_of(LLAMA)
    weights["model.layers.1.mlp.up_proj.weight"][3, 4] = np.nan
    write_gguf(tmp_path / "model.gguf", tensors=weights)
    with pytest.raises(MindcoldError, match=r"model.gguf: blk.1.ffn_up.weight: holds NaN"):
        convert(tmp_path / "model.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_exists_and_a_stop_in_the_middle(tmp_path):
    write_gguf(tmp_path / "model.gguf")
    (tmp_path / "out").mkdir()
    with pytest.raises(MindcoldError, match=r"out: exists already"):
        convert(tmp_path / "model.gguf", tmp_path / "out")
    with (
        mock.patch("mindcold.convert.gguf_model.save_file", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        convert(tmp_path / "model.gguf", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.gguf", "out"]
    with pytest.raises(MindcoldError, match=r"dtype: 'int8' is not one of bfloat16, float32"):
        convert(tmp_path / "model.gguf", tmp_path / "new", "int8")
