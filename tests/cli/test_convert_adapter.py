"""`mindcold convert-adapter` as a person runs it."""

import json

from safetensors.numpy import load_file

from mindcold.adapter_formats import FORMATS
from mindcold.cli import main
from mindcold.files import write_tensors
from tests.folders import write_adapter, write_model


def run(capsys, *arguments):
    code = main(["convert-adapter", *(str(item) for item in arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_there_and_back(capsys, tmp_path):
    model, adapter = write_model(tmp_path / "model"), write_adapter(tmp_path / "adapter")
    for target in FORMATS:
        there, back = tmp_path / f"{target}-there", tmp_path / f"{target}-back"
        code, out, err = run(capsys, "--model", model, "--adapter", adapter, "--output", there, "--to", target)
        assert code == 0 and err == "" and out.splitlines()[0] == str(there)
        assert ("2 fused layers had a matrix A" in out) == (target in ("mcore", "pynative"))
        code, out, _ = run(capsys, "--model", model, "--adapter", there, "--output", back, "--to", "peft", "--json")
        found = json.loads(out)
        assert (found["from"], found["to"], found["rank"], found["lora_alpha"]) == (target, "peft", 4, 8)
        first, second = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, back))
        assert first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)
    raw = json.loads((tmp_path / "peft-there" / "adapter_config.json").read_text())
    assert raw["target_modules"] == ["q_proj", "v_proj"] and raw["base_model_name_or_path"] == str(model)
    assert list(json.loads((tmp_path / "slora-there" / "lora_adapter.json").read_text())) == ["slora-there"]
    assert {item.stat().st_mode & 0o777 for item in (tmp_path / "slora-there").rglob("adapter_*")} == {0o644}


def test_alpha_layout_and_format_are_given(capsys, tmp_path):
    model, adapter = write_model(tmp_path / "model"), write_adapter(tmp_path / "adapter")
    common = ["--model", model, "--output", tmp_path / "out", "--to", "peft"]
    assert run(capsys, "--model", model, "--adapter", adapter, "--output", tmp_path / "m", "--to", "mcore")[0] == 0
    bare = tmp_path / "bare.safetensors"
    write_tensors(bare, load_file(tmp_path / "m" / "adapter_model.safetensors"))  # without the note of its layout
    code, out, err = run(capsys, *common, "--adapter", bare)
    assert code == 1 and out == "" and "--lora-alpha" in err and err.count("\n") == 1
    options = ["--lora-alpha", 16, "--from", "mcore", "--layout", "interleaved"]
    assert run(capsys, *common, "--adapter", bare, *options)[0] == 0
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, tmp_path / "out"))
    assert first.keys() == second.keys() and all((first[name] == second[name]).all() for name in first)
    code, _, err = run(capsys, *common, "--adapter", adapter)
    assert code == 1 and "out: exists already; name a new folder" in err


def test_a_converted_adapter_decodes_as_before(capsys, tmp_path):
    prompt = "Question: Tom has 12 apples. Tom buys 9 more apples. How many apples does Tom have now? Answer:"
    common = ["--model", "tiny-base", "--method", "cold", "--prompt", prompt, "--json", "--adapter"]
    found = []
    arguments = ["--model", "tiny-base", "--adapter", "tiny-steps", "--output", tmp_path / "m", "--to", "mcore"]
    assert run(capsys, *arguments)[0] == 0
    for adapter in ("tiny-steps", tmp_path / "m"):
        assert main(["generate", *(str(item) for item in (*common, adapter))]) == 0
        found.append(json.loads(capsys.readouterr().out)["token_ids"])
    assert found[0] == found[1] and len(found[0]) > 5
