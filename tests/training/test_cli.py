"""`mindcold train`: what it writes, that it goes on, and that bad input is one line and leaves nothing behind."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from mindcold import model_zoo
from mindcold.adapter_formats import read_adapter
from mindcold.cli import main
from mindcold.config import ModelConfig
from mindcold.tokenizer import Tokenizer
from tests.folders import LLAMA, write_json

TINY = LLAMA | {"vocab_size": 2048, "num_hidden_layers": 1, "tie_word_embeddings": True}
SHORT = ["--steps", "6", "--batch-size", "4", "--sequence-length", "16", "--save-every", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "corpus.txt").write_text("The old cat ran to the red house.\n" * 40, encoding="utf-8")
    lines = (json.dumps({"prompt": f"{i} + 1?", "completion": f" {i + 1}"}) for i in range(1, 9))
    (folder / "examples.jsonl").write_text("\n".join(lines), encoding="utf-8")
    write_json(folder / "config.json", TINY)
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A model trained for six steps by the command."""
    output = tmp_path_factory.mktemp("trained") / "model"
    assert main(["train", *new_model(data), "--output", str(output), *SHORT]) == 0
    return output


def new_model(data) -> list[str]:
    tokenizer = str(model_zoo.path("tiny-base"))
    return ["--config", str(data / "config.json"), "--tokenizer", tokenizer, "--data", str(data / "corpus.txt")]


def test_a_new_model_is_a_folder_that_loads(trained):
    assert ModelConfig.from_folder(trained).hidden_size == TINY["hidden_size"]
    assert Tokenizer(trained).encode("The cat")[0] == 1
    assert (trained / "run" / "loss.jsonl").read_text(encoding="utf-8").count("\n") == 6
    assert (trained / "run" / "loss.png").is_file()
    assert all(np.isfinite(value).all() for value in load_file(trained / "model.safetensors").values())


def test_an_adapter_on_top(trained, data, tmp_path):
    before = (trained / "model.safetensors").read_bytes()
    flags = ["--model", str(trained), "--data", str(data / "examples.jsonl"), "--output", str(tmp_path / "adapter")]
    lora = ["--lora-rank", "2", "--target-modules", "q_proj,up_proj"]
    assert main(["train", *flags, *lora, *SHORT]) == 0
    adapter = read_adapter(tmp_path / "adapter", ModelConfig.from_folder(trained))
    assert len(adapter.pairs) == 2
    raw = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert raw["target_modules"] == ["q_proj", "up_proj"] and raw["base_model_name_or_path"] == str(trained)
    assert (trained / "model.safetensors").read_bytes() == before


def test_what_peft_can_say_of_an_adapter_can_be_said(trained, data, tmp_path):
    flags = ["--model", str(trained), "--data", str(data / "examples.jsonl"), "--output", str(tmp_path / "adapter")]
    lora = ["--lora-rank", "4", "--lora-alpha", "6", "--target-modules", r".*\.(self_attn|mlp)\.[qku].*"]
    lora += [
        "--use-rslora",
        "--lora-dropout",
        "0.1",
        "--rank-pattern",
        '{"k_proj": 2}',
        "--alpha-pattern",
        '{"up_proj": 3}',
    ]
    more = ["--held-out", str(data / "examples.jsonl"), "--pack", "--accumulation", "2", "--epochs", "2"]
    more += ["--batch-size", "1", "--sequence-length", "64", "--schedule", "linear", "--evaluate-every", "1"]
    assert main(["train", *flags, *lora, *more]) == 0
    raw = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (raw["r"], raw["lora_alpha"], raw["use_rslora"], raw["lora_dropout"]) == (4, 6, True, 0.1)
    assert raw["rank_pattern"] == {"k_proj": 2} and raw["alpha_pattern"] == {"up_proj": 3}
    adapter = read_adapter(tmp_path / "adapter", ModelConfig.from_folder(trained))
    assert {name.rsplit(".", 1)[-1]: len(pair.a) for name, pair in adapter.pairs.items()} == {
        "q_proj": 4,
        "k_proj": 2,
        "up_proj": 4,
    }
    assert (tmp_path / "adapter" / "run" / "best.safetensors").is_file()


def test_a_finished_run_stays_and_keeps_its_settings(trained, data, tmp_path, capsys):
    output = tmp_path / "model"
    shutil.copytree(trained, output)
    flags = ["train", *new_model(data), "--output", str(output), *SHORT]
    before = (output / "model.safetensors").read_bytes()
    assert main([*flags, "--learning-rate", "0.5"]) == 1
    assert "learning_rate: the run had '0.001', now '0.5'" in capsys.readouterr().err
    other = tmp_path / "other.txt"
    other.write_text("The new lake is red.\n" * 40, encoding="utf-8")
    assert main([*flags, "--data", str(other)]) == 1
    assert "settings.json: data: the run had" in capsys.readouterr().err
    assert main(flags) == 0 and main([*flags, "--resume"]) == 0
    assert (output / "model.safetensors").read_bytes() == before
    assert main([*flags, "--learning-rate", "0.5", "--restart"]) == 0
    assert (output / "model.safetensors").read_bytes() != before
    assert main([*flags[:-2], "--resume", "--output", str(tmp_path / "none")]) == 1
    assert "nothing to resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--data": "missing.txt"}, "missing.txt"),
        ({"--config": "missing.json"}, "missing.json"),
        ({"--sequence-length": "9999"}, "max_position_embeddings"),
        ({"--batch-size": "0"}, "batch_size"),
        ({"--batch-size": "5000"}, "fewer than one batch"),
        ({"--steps": "0"}, "steps"),
        ({"--lora-rank": "2"}, "--lora-rank"),
        ({"--seed": "-1"}, "seed"),
        ({"--held-out": "missing.jsonl"}, "missing.jsonl"),
        ({"--accumulation": "0"}, "accumulation"),
        ({"--patience": "0"}, "patience"),
        ({"--tokenizer": "nowhere"}, "nowhere"),
        *[({"--learning-rate": value}, "learning_rate") for value in ("nan", "inf", "1e39", "0")],
        *[({"--weight-decay": value}, "weight_decay") for value in ("nan", "inf", "-1")],
        *[({"--clip-norm": value}, "clip_norm") for value in ("nan", "inf", "0")],
        *[({"--epochs": value, "--steps": None}, "epochs") for value in ("nan", "inf", "0")],
        *[
            ({name: "1000000000000"}, name[2:].replace("-", "_"))
            for name in ("--steps", "--accumulation", "--batch-size")
        ],
        ({"--evaluate-every": "0"}, "evaluate_every"),
        ({"--seed": "9" * 30}, "seed"),
        ({"--data": "/dev/zero"}, "is a pipe, a socket or a device"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(data, tmp_path, capsys, changes, message):
    parts = [*new_model(data), "--output", str(tmp_path / "out"), *SHORT]
    flags = dict(zip(parts[::2], parts[1::2], strict=True)) | changes
    assert main(["train", *(part for pair in flags.items() if pair[1] for part in pair)]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_module_and_the_model_as_output(trained, data, tmp_path, capsys):
    flags = ["train", "--model", str(trained), "--data", str(data / "examples.jsonl"), *SHORT]
    assert main([*flags, "--output", str(tmp_path / "a"), "--lora-rank", "2", "--target-modules", "q_prog"]) == 1
    assert "q_prog" in capsys.readouterr().err
    assert main([*flags, "--output", str(tmp_path / "a"), "--lora-rank", "2", "--rank-pattern", "q_proj=3"]) == 1
    assert "rank_pattern: a JSON object is expected" in capsys.readouterr().err
    assert main([*flags, "--output", str(trained)]) == 1
    assert "is the model itself" in capsys.readouterr().err


LORA = ["--lora-rank", "2"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        *[(["--lora-rank", value], "lora_rank") for value in ("0", "1000000000", "65")],
        *[([*LORA, "--lora-alpha", value], "lora_alpha") for value in ("nan", "inf", "1e39", "0")],
        *[([*LORA, "--lora-dropout", value], "lora_dropout") for value in ("nan", "inf", "1")],
        *[([*LORA, "--alpha-pattern", f'{{"q_proj": {value}}}'], "alpha") for value in ("NaN", "Infinity", "1e300")],
        ([*LORA, "--rank-pattern", '{"q_proj": 1000000000}'], "rank"),
        ([*LORA, "--rank-pattern", "[" * 100_000], "rank_pattern: a JSON object is expected"),
    ],
)
def test_adapters_that_cannot_be_are_refused(trained, data, tmp_path, capsys, flags, message):
    common = ["--model", str(trained), "--data", str(data / "examples.jsonl"), "--output", str(tmp_path / "a"), *SHORT]
    assert main(["train", *common, *flags]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "a.safetensors", "old.ckpt", "tokenizer.json"])
def test_another_model_or_adapter_is_not_overwritten(data, tmp_path, capsys, name):
    (tmp_path / name).write_text("mine")
    flags = ["train", *new_model(data), "--output", str(tmp_path), *SHORT]
    for more in ([], ["--restart"]):
        assert main([*flags, *more]) == 1
        error = capsys.readouterr().err
        assert f"holds {name}, of another model or adapter" in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "mine"


def test_a_result_whose_checkpoint_is_gone_is_kept(trained, data, tmp_path, capsys):
    output = tmp_path / "model"
    shutil.copytree(trained, output)
    (output / "run" / "last.safetensors").unlink()
    before = (output / "model.safetensors").read_bytes()
    assert main(["train", *new_model(data), "--output", str(output), *SHORT, "--learning-rate", "0.5"]) == 1
    assert "learning_rate: the run had" in capsys.readouterr().err
    assert (output / "model.safetensors").read_bytes() == before


def test_with_overwrite_it_is_replaced(trained, data, tmp_path, capsys):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("another")
    assert main(["train", *new_model(data), "--output", str(tmp_path), *SHORT, "--overwrite"]) == 0
    assert (tmp_path / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert main(["train", *new_model(data), "--output", str(tmp_path), *SHORT]) == 0  # the run is its own now


def test_output_that_cannot_be_is_one_line(data, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for place in ("file", "file/below", "pipe", "n" * 300, "/dev/full", "/proc/new"):
        assert main(["train", *new_model(data), "--output", str(tmp_path / place), *SHORT]) == 1
        error = capsys.readouterr().err
        assert error.startswith("mindcold train: error: ") and error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine" and len(list(tmp_path.iterdir())) == 2


def test_content_counts_and_not_the_path(trained, data, tmp_path, capsys):
    """The same data elsewhere is the same run; the same bytes read in another way, or another tokenizer, are not."""
    output, moved = tmp_path / "model", tmp_path / "moved.txt"
    shutil.copytree(trained, output)
    shutil.copyfile(data / "corpus.txt", moved)
    flags = ["train", *new_model(data), "--output", str(output), *SHORT]
    assert main([*flags, "--data", str(moved)]) == 0
    capsys.readouterr()
    tokenizer = tmp_path / "tokenizer"
    shutil.copytree(model_zoo.path("tiny-base"), tokenizer)
    assert main([*flags, "--tokenizer", str(tokenizer)]) == 0
    capsys.readouterr()
    content = json.loads((tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(tokenizer / "tokenizer_config.json", content | {"add_bos_token": False})
    assert main([*flags, "--tokenizer", str(tokenizer)]) == 1
    assert "settings.json: " in capsys.readouterr().err
    with moved.open("a", encoding="utf-8") as file:
        file.write("One more line.\n")
    assert main([*flags, "--data", str(moved)]) == 1
    assert "settings.json: data: the run had" in capsys.readouterr().err


@pytest.mark.parametrize("log", [None, b"", b"half", b"\x00\xff" * 99, b"[" * 99_999, b'{"step": 1, "loss": "x"}\n'])
def test_the_log_does_not_matter(trained, data, tmp_path, capsys, log):
    """A run that has ended, and one that goes on, with a log that is missing, empty, halved or garbled."""
    output = tmp_path / "model"
    shutil.copytree(trained, output)
    path = output / "run" / "loss.jsonl"
    whole = path.read_bytes()
    path.unlink() if log is None else path.write_bytes(whole[: len(whole) // 2] if log == b"half" else log)
    assert main(["train", *new_model(data), "--output", str(output), *SHORT]) == 0
    assert "6 steps" in capsys.readouterr().err
    assert (output / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_tensorboard_below_the_output_or_where_it_is_asked_for(data, tmp_path, capsys, monkeypatch):
    flags = ["train", *new_model(data), "--output", str(tmp_path / "a"), *SHORT]
    assert main([*flags, "--tensorboard"]) == 0
    assert len(list((tmp_path / "a" / "run" / "tensorboard").glob("events.out.tfevents.*"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    flags[flags.index(str(tmp_path / "a"))] = str(tmp_path / "b")
    assert main([*flags, "--tensorboard", str(tmp_path / "curves")]) == 0
    assert len(list((tmp_path / "curves").iterdir())) == 1 and not (tmp_path / "b" / "run" / "tensorboard").exists()
    flags[flags.index(str(tmp_path / "b"))] = str(tmp_path / "c")
    capsys.readouterr()
    assert main([*flags, "--tensorboard", str(data / "corpus.txt")]) == 1
    monkeypatch.setitem(sys.modules, "tensorboardX.event_file_writer", None)
    assert main([*flags, "--tensorboard"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert (
        len(error) == 2 and "corpus.txt is no folder" in error[0] and "pip install 'mindcold[tensorboard]'" in error[1]
    )
    assert not (tmp_path / "c").exists()


def test_head_and_embedding_in_an_adapter(trained, data, tmp_path, capsys):
    flags = ["train", "--model", str(trained), "--data", str(data / "examples.jsonl"), *SHORT, *LORA]
    flags += ["--target-modules", "q_proj,lm_head", "--output", str(tmp_path / "a")]
    assert main([*flags, "--modules-to-save", "embed_tokens,norm"]) == 1
    error = capsys.readouterr().err
    assert "modules_to_save: 'norm' is not supported" in error and error.count("\n") == 1
    assert not (tmp_path / "a").exists()
    assert main([*flags, "--modules-to-save", "embed_tokens"]) == 0
    raw = json.loads((tmp_path / "a" / "adapter_config.json").read_text(encoding="utf-8"))
    assert raw["modules_to_save"] == ["embed_tokens"] and raw["target_modules"] == ["q_proj", "lm_head"]
    adapter = read_adapter(tmp_path / "a", ModelConfig.from_folder(trained))
    assert set(adapter.pairs) == {"model.layers.0.self_attn.q_proj", "lm_head"}
    before = load_file(trained / "model.safetensors")["model.embed_tokens.weight"]
    moved = adapter.replaced["model.embed_tokens"] - before
    assert moved.any() and np.abs(moved).max() < 0.1 and adapter.pairs["lm_head"].b.any()
    assert main(flags) == 1
    assert "modules_to_save: the run had" in capsys.readouterr().err
