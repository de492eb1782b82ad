"""`mindcold compare`: all methods and drafts that can run, on the same items."""

import json

import pytest

from mindcold import model_zoo
from mindcold.cli import main
from mindcold.decoding import METHODS
from mindcold.tasks.methods import presets
from tests.folders import write_model

SETS = "The farmer = a\ndog park run = c\n"


def run(capsys, *arguments):
    code = main([str(item) for item in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_every_method_is_there_once():
    labels = [spec.label for spec in presets(True, True, "M", None)]
    assert labels[0] == "greedy" and len(labels) == len(set(labels))
    assert {spec.method for spec in presets(True, True, "M", None)} == set(METHODS)
    assert {"aded", "lookahead", "greedy:draft=M", "cold:draft=trigram", "beam:draft=M", "scd:amateur=M"} <= set(labels)
    assert not {"greedy:draft=trigram", "greedy:draft=lookahead"} & set(labels)  # which are methods of their own
    plain = {spec.label for spec in presets(False, False, None, None)}
    assert "greedy:draft=aded" in plain and not any(name.startswith(("cold", "cd", "scd")) for name in plain)
    with_adapter = presets(True, True, "M", "A")
    assert all(spec.options.get("draft_adapter") == "A" for spec in with_adapter if "M" in spec.options.values())


def test_all_methods_on_a_small_model(capsys, tmp_path):
    (tmp_path / "dev.txt").write_text(SETS, encoding="utf-8")
    command = ["compare", "--task", "commongen", "--data", tmp_path / "dev.txt", "--model", "tiny-base"]
    command += ["--adapter", "tiny-keywords", "--draft", "tiny-draft", "--limit", 1, "--max-new-tokens", 5]
    code, out, _ = run(capsys, *command, "--output", tmp_path / "out", "--json")
    result = json.loads(out)
    rows = {row["method"]: row for row in result["methods"]}
    assert code == 0 and next(iter(rows)) == "greedy" and {name.split(":")[0] for name in rows} == set(METHODS)
    for name, row in rows.items():
        assert row["ms per token"] > 0 and row["weights, MB"] > 0 and row["KV, MB"] > 0
        if name.startswith(("greedy", "aded", "lookahead")):
            assert row["same text"] in (None, 1.0)
    assert rows["greedy:draft=tiny-draft"]["weights, MB"] > rows["greedy"]["weights, MB"]
    assert rows["scd:amateur=tiny-draft"]["draft passes"] > 0 and rows["cold"]["KV, MB"] > rows["greedy"]["KV, MB"]
    assert (tmp_path / "out" / "compare.json").is_file() and (tmp_path / "out" / "compare.png").stat().st_size > 5000


def test_some_methods_on_a_random_folder(capsys, tmp_path):
    """A HuggingFace folder with random weights, without an adapter."""
    folder = write_model(tmp_path / "model", vocab_size=2048)
    tokenizer = model_zoo.path("tiny-base") / "tokenizer.model"
    (folder / "tokenizer.model").write_bytes(tokenizer.read_bytes())
    (tmp_path / "own.jsonl").write_text('{"prompt": "One day", "answer": "x"}\n', encoding="utf-8")
    command = ["compare", "--data", tmp_path / "own.jsonl", "--model", folder, "--max-new-tokens", 4]
    code, out, err = run(capsys, *command, "--methods", "greedy;lookahead;beam:num_beams=2")
    assert code == 0 and "ms per token" in out and "weights, MB" in out, err
    code, _, err = run(capsys, *command, "--methods", "greedy;greedy:draft=nowhere")
    assert code == 1 and "neither a draft nor a model" in err and err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--limit", "--max-new-tokens"])
def test_bad_flags(capsys, tmp_path, flag):
    (tmp_path / "dev.txt").write_text(SETS, encoding="utf-8")
    command = ["compare", "--task", "commongen", "--data", tmp_path / "dev.txt", "--model", "tiny-base"]
    code, _, err = run(capsys, *command, flag, 0)
    assert code == 1 and flag in err
