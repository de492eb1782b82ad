"""The command as a person runs it: output, exit codes, one line for what is wrong."""

import json
import os
import subprocess
import sys

import pytest

import mindcold
from mindcold.cli import main
from mindcold.decoding_defaults import FILE, DecodingDefaults
from tests.folders import write_adapter, write_model

PROMPT = "Question: Tom has 12 apples. Tom buys 9 more apples. How many apples does Tom have now? Answer:"


def run(capsys, *arguments):
    code = main([str(item) for item in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_generate_prints_text_or_json(capsys):
    common = ("generate", "--model", "tiny-base", "--adapter", "tiny-steps", "--method", "cold", "--prompt", PROMPT)
    code, out, err = run(capsys, *common)
    assert code == 0 and "The answer is" in out and err == ""
    code, as_json, _ = run(capsys, *common, "--json", "--stop-string", "=")
    assert code == 0 and json.loads(as_json)["text"].endswith("=") and as_json.count("\n") == 1


def test_generate_reads_a_prompt_file_and_standard_input(capsys, tmp_path, monkeypatch):
    (tmp_path / "prompt.txt").write_text("One day", encoding="utf-8")
    settings = ("--model", "tiny-base", "--max-new-tokens", 4)
    expected = run(capsys, "generate", *settings, "--prompt", "One day")
    assert run(capsys, "generate", *settings, "--prompt-file", tmp_path / "prompt.txt") == expected
    monkeypatch.setattr("sys.stdin", open(tmp_path / "prompt.txt", encoding="utf-8"))  # noqa: PTH123, SIM115
    assert run(capsys, "generate", *settings, "--prompt", "-") == expected


def test_info_shows_the_model_the_adapter_and_the_operators(capsys, folders):
    code, out, _ = run(capsys, "info", "--model", "tiny-base", "--adapter", "tiny-steps", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["model"]["architecture"] == "llama" and facts["model"]["vocab_size"] == 2048
    assert "tiny-steps" in facts["zoo"] and "aot: runs" in facts["operators"]["contrastive_score"]
    assert run(capsys, "info")[0] == 0 and "decoding defaults" not in facts
    DecodingDefaults("cold", beta=1.0).write(folders[1])
    try:
        facts = json.loads(run(capsys, "info", "--model", folders[0], "--adapter", folders[1], "--json")[1])
        out = run(capsys, "generate", "--model", folders[0], "--adapter", folders[1], "--ids", "1,2", "--json")[1]
    finally:
        (folders[1] / FILE).unlink()
    assert facts["decoding defaults"] == {"method": "cold", "beta": 1.0}
    assert json.loads(out)["stats"]["method"] == "cold"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("info --model=", "folder: a path is expected, found ''"),
        ("info --adapter=a", "--adapter: --model is expected with it"),
        ("bench steps --model tiny-base --context=", "--context: comma-separated numbers"),
        ("bench methods --shape=", "shape: '' is not one of"),
        ("bench --peer=", "an interpreter is expected"),
        ("warm-drafts --data none --output drafts --method=", "--method: '' is not of the form"),
    ],
)
def test_an_empty_value_is_not_taken_for_none(capsys, line, says):
    code, out, err = run(capsys, *line.split())
    assert code != 0 and not out and says in err and err.count("\n") == 1


def test_drafts_are_warmed_up_saved_and_loaded(capsys, tmp_path):
    text, saved = tmp_path / "text.txt", tmp_path / "drafts.safetensors"
    text.write_text("7 + 5 = 12. The answer is 12.\n" * 3, encoding="utf-8")
    arguments = ["--model", "tiny-base", "--prompt", "2 + 3 =", "--draft", "trigram", "--max-new-tokens", 8, "--json"]
    code, first, _ = run(capsys, "generate", *arguments, "--warm-drafts", text, "--save-drafts", saved)
    assert code == 0 and saved.is_file()
    code, second, _ = run(capsys, "generate", *arguments, "--load-drafts", saved, "--search", "mcts")
    assert code == 0 and json.loads(first)["token_ids"] == json.loads(second)["token_ids"]


def test_constraints_on_the_command_line(capsys):
    arguments = ["--model", "tiny-base", "--prompt", "The farmer", "--max-new-tokens", 12, "--json"]
    code, out, _ = run(
        capsys, "generate", *arguments, "--method", "cdsl", "--draft", "tiny-draft", "--keywords", "lake, bread"
    )
    found = json.loads(out)
    assert code == 0 and 0 <= found["stats"]["reward"] <= 1 and found["stats"]["draft_passes"] > 0
    code, out, _ = run(capsys, "generate", *arguments, "--regex", "(walked|ran) to the [a-z]+\\.")
    assert code == 0 and json.loads(out)["text"].strip().split()[0] in ("walked", "ran")
    code, _, err = run(capsys, "generate", *arguments, "--keywords", ",")
    assert code == 1 and "Keywords: the list is empty" in err


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("cli")
    return write_model(root / "model"), write_adapter(root / "adapter")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--model": "nowhere"}, "nowhere: neither a folder nor one of the shipped models"),
        ({"--adapter": "nowhere"}, "nowhere: neither a folder"),
        ({"--ids": "1,x"}, "--ids: comma-separated integers"),
        ({"--ids": "1,96"}, "prompt: 96 is not a token id below vocab_size 96"),
        ({"--ids": ""}, "prompt: empty"),
        ({"--alpha": "0"}, "alpha: a number in (0, 1]"),
        ({"--alpha": "1.01"}, "alpha: a number in (0, 1]"),
        ({"--alpha": "nan"}, "alpha: a number in (0, 1]"),
        ({"--beta": "-1"}, "beta: a number >= 0"),
        ({"--method": "magic"}, "method: 'magic' is not one of greedy, sample, cold"),
        ({"--dtype": "int3"}, "dtype: 'int3'"),
        ({"--backend": "tpu"}, "backend: 'tpu'"),
        ({"--max-new-tokens": "0"}, "max_new_tokens"),
        ({"--eos-token-id": "a"}, "--eos-token-id"),
    ],
)
def test_bad_input_is_one_line_and_a_failure(capsys, folders, changes, message):
    settings = {"--model": folders[0], "--adapter": folders[1], "--ids": "1,2,3", "--method": "cold"} | changes
    code, out, err = run(capsys, "generate", "--json", *[f"{name}={value}" for name, value in settings.items()])
    assert code == 1 and out == "" and message in err
    assert err.startswith("mindcold generate: error: ") and err.count("\n") == 1


def test_a_process_fails_without_a_traceback_and_writes_nothing(folders, tmp_path):
    weights = folders[0] / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    try:
        command = [sys.executable, "-m", "mindcold", "generate", "--model", str(folders[0]), "--ids", "1,2"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, timeout=120)
    finally:
        weights.write_bytes(whole)
    assert done.returncode == 1 and done.stdout == "" and not list(tmp_path.iterdir())
    assert "Traceback" not in done.stderr and "model.safetensors: truncated" in done.stderr


def test_help_needs_no_mindspore():
    code = "import sys; from mindcold.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print('mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("False\n") and "generate" in done.stdout


def test_what_fails_while_it_decodes_ends_in_one_line_too(capsys, folders):
    """Without --json tokens are streamed: those that came stay, and the failure is no silence."""
    settings = ("--model", folders[0], "--ids", "1,2,3", "--suppress-tokens", ",".join(map(str, range(96))))
    for more in ((), ("--json",)):
        code, out, err = run(capsys, "generate", *settings, *more)
        assert code == 1 and out.strip() == ""
        assert err.startswith("mindcold generate: error: constraint: no token is allowed here") and err.count("\n") == 1


@pytest.mark.parametrize("model", ["tiny-base", None])
def test_an_empty_prompt_is_what_it_is_in_python(capsys, folders, model):
    """Where a tokenizer begins every text with a token that is a prompt, else it is refused."""
    llm = mindcold.load(model or folders[0])
    arguments = ("generate", f"--model={model or folders[0]}", "--prompt=", "--json", "--max-new-tokens=3")
    code, out, err = run(capsys, *arguments)
    try:
        expected = llm.generate("", max_new_tokens=3)
    except mindcold.MindcoldError as error:
        assert code == 1 and out == "" and err == f"mindcold generate: error: {error}\n"
    else:
        assert code == 0 and json.loads(out)["token_ids"] == expected.token_ids
