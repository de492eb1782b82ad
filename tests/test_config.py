"""config.json: both spellings, the defaults of transformers, and refusals that name the field."""

import pytest

from mindcold.config import ModelConfig, RopeConfig, parse_config
from mindcold.errors import ModelError
from tests.folders import LLAMA, write_json, write_model


def test_old_and_new_spelling_agree():
    old = parse_config(LLAMA | {"rope_theta": 5e5, "torch_dtype": "bfloat16", "rope_scaling": None}, "c")
    new = parse_config(
        LLAMA | {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}, "dtype": "bfloat16"}, "c"
    )
    assert old == new
    assert old.rope == RopeConfig(5e5) and old.dtype == "bfloat16" and old.head_dim == 8


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
def test_llama3_and_linear_scaling(spelling):
    llama3 = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    assert parse_config(LLAMA | {spelling: llama3}, "c").rope == RopeConfig(10000.0, "llama3", 8.0, 1.0, 4.0, 64)
    linear = parse_config(LLAMA | {spelling: {"type": "linear", "factor": 2}}, "c")
    assert linear.rope.kind == "linear" and linear.rope.factor == 2.0


def test_biases_follow_the_architecture():
    llama = parse_config(LLAMA | {"attention_bias": True, "mlp_bias": True}, "c")
    assert (llama.attention_bias, llama.output_bias, llama.mlp_bias) == (True, True, True)
    qwen2 = parse_config(LLAMA | {"model_type": "qwen2"}, "c")
    assert (qwen2.attention_bias, qwen2.output_bias) == (True, False)
    mistral = parse_config(LLAMA | {"model_type": "mistral", "attention_bias": True}, "c")
    assert (mistral.attention_bias, mistral.output_bias) == (False, False)
    assert parse_config(LLAMA | {"model_type": "qwen3", "head_dim": 16}, "c").qk_norm


def test_sliding_windows_per_layer():
    assert parse_config(LLAMA | {"model_type": "mistral", "sliding_window": 7}, "c").sliding_window == (7, 7)
    assert parse_config(LLAMA | {"model_type": "mistral", "sliding_window": None}, "c").sliding_window == ()
    qwen = LLAMA | {"model_type": "qwen2", "sliding_window": 9, "max_window_layers": 1}
    assert parse_config(qwen, "c").sliding_window == ()
    assert parse_config(qwen | {"use_sliding_window": True}, "c").sliding_window == (0, 9)
    typed = qwen | {"use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"]}
    assert parse_config(typed, "c").sliding_window == (9, 0)


def test_generation_config_gives_a_list_of_end_of_text_ids(tmp_path):
    folder = write_model(tmp_path)
    assert ModelConfig.from_folder(folder).eos_token_ids == (2,)
    write_json(folder / "generation_config.json", {"eos_token_id": [5, 7]})
    assert ModelConfig.from_folder(folder).eos_token_ids == (5, 7)


def test_round_trip_through_hf_config():
    for changes in ({}, {"model_type": "mistral", "sliding_window": 7}, {"model_type": "qwen3", "head_dim": 16}):
        config = parse_config(LLAMA | changes | {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "c")
        assert parse_config(config.to_hf(), "c") == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, "model_type: 'gpt2' is not one of llama"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": "big"}, "hidden_size: an integer"),
        ({"hidden_size": 10**12}, "hidden_size: an integer"),
        ({"vocab_size": True}, "vocab_size: an integer"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads: 3 does not divide"),
        ({"head_dim": 7}, "head_dim: 7 is odd"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}}, "rope_scaling: rope_type: 'yarn'"),
        ({"rope_scaling": {"rope_type": "linear"}}, "rope_scaling: factor: missing"),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_parameters: rope_theta"),
        ({"rope_scaling": 5}, "rope_scaling: an object"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rms_norm_eps": "tiny"}, "rms_norm_eps"),
        ({"eos_token_id": 96}, "eos_token_id: 96"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
    ],
)
def test_refusals_name_the_field(changes, message):
    with pytest.raises(ModelError, match=r"^where/config\.json: ") as caught:
        parse_config(LLAMA | changes, "where/config.json")
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_not_json_objects(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"config\.json"):
        ModelConfig.from_folder(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json: no such file"):
        ModelConfig.from_folder(tmp_path / "nowhere")
