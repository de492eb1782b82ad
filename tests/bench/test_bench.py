"""`mindcold bench` as a person runs it, on small counts: what it prints and writes, and what it refuses."""

import json

import pytest

from mindcold.bench.accuracy import equal_start
from mindcold.bench.drafts import ratio
from mindcold.cli import main

LOOKAHEAD = {"CDLH, exhaustive", "CDLH, lookahead 0", "CDSL, tau_a 0, tau_r 0.5", "draft model alone"}


def run(capsys, *arguments):
    code = main(["bench", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def rows(capsys, name, *arguments):
    code, out, _ = run(capsys, name, *arguments, "--json")
    assert code == 0 and out.count("\n") == 1
    return json.loads(out)[name]


def test_its_help_shows_no_name_of_ours(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    out = capsys.readouterr().out
    assert "--shape SHAPE" in out and "UNNAMED" not in out.upper()


def test_methods_are_measured_beside_each_other_and_in_batches(capsys):
    flags = ("--rounds", 1, "--new-tokens", 4, "--prompt-tokens", 4, "--batch", "1,3", "--dtypes", "float32")
    found = {row["task"]: row for row in rows(capsys, "methods", *flags)}
    assert set(found) == {"float32 read"} | {
        f"float32 {batch}{name}" for batch in ("", "batch 3 ") for name in ("base greedy", "LoRA greedy", "CoLD")
    }
    assert found["float32 batch 3 LoRA greedy"]["x LoRA greedy"] == 1.0 and found["float32 CoLD"]["x base greedy"] > 0


def test_no_subcommand_is_methods(capsys, monkeypatch):
    monkeypatch.setattr("mindcold.cli.bench.methods", lambda args, folder: {"methods": [{"rounds": args.rounds}]})
    code, out, _ = run(capsys)
    assert code == 0 and "rounds 5" in out


def test_steps_are_written_as_json_without_matplotlib(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    flags = ("--rounds", 1, "--prompt-tokens", 4, "--dtypes", "float32,int8", "--output", tmp_path / "out")
    code, out, _ = run(capsys, "steps", *flags)
    assert code == 0 and "int8 step 16 rows" in out and "x read" in out
    written = json.loads((tmp_path / "out" / "steps.json").read_text())
    assert len(written["rounds"]["int8 step 32 rows"]) == 1 and written["setting"]["prompt_tokens"] == "4"


def test_drafts_are_measured_warmed_up_and_from_a_cold_start(capsys):
    found = {row["method"]: row for row in rows(capsys, "drafts", "--count", 2, "--rounds", 1, "--only", "cold")}
    warm, cold = (found[f"CoLD + trigram drafts, {start}"] for start in ("warmed up", "cold start"))
    assert set(found) >= {"base greedy", "LoRA greedy", "CoLD", "ADED as published, cold start"}
    assert warm["tokens per pass"] > cold["tokens per pass"] > 1 == found["CoLD"]["tokens per pass"]
    assert warm["tokens per answer"] == found["CoLD"]["tokens per answer"] and warm["right"] == found["CoLD"]["right"]


def test_drafts_are_measured_on_a_file(capsys, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "One day"}\n' * 3, encoding="utf-8")
    found = rows(capsys, "drafts", "--data", data, "--rounds", 1, "--count", 2, "--new-tokens", 8)
    assert all(row["right"] is None and "warmed up" not in row["method"] for row in found) and len(found) == 6


def test_lookahead_is_measured_with_its_controls(capsys):
    flags = ("--count", 1, "--rounds", 1, "--new-tokens", 6, "--only", *LOOKAHEAD, "--validation")
    found = {row["method"]: row for row in rows(capsys, "lookahead", *flags)}
    assert set(found) == LOOKAHEAD | {"CDLH", "LoRA greedy"}
    assert found["CDLH, exhaustive"]["mean reward"] == found["CDLH"]["mean reward"]
    assert found["CDLH, exhaustive"]["target passes"] > found["CDLH"]["target passes"]
    assert found["CDLH, lookahead 0"]["target passes"] < found["CDLH"]["target passes"]
    assert found["CDSL, tau_a 0, tau_r 0.5"]["draft passes"] > 0 == found["draft model alone"]["draft passes"]


def test_replayed_drafts_are_accepted_as_often_as_is_set(capsys):
    found = {
        (row["method"], row["hit rate"]): row["tokens per pass"]
        for row in rows(capsys, "replay", "--rates", "0,1", "--rounds", 1, "--new-tokens", 12)
    }
    assert found["CoLD", None] == 1.0 and found["base greedy", 1.0] > found["base greedy", 0.0]


def test_accuracy_is_exact_in_float32(capsys):
    found = rows(capsys, "accuracy", "--count", 2, "--new-tokens", 8)
    exact = [row for row in found if row["dtype"] == "float32"]
    assert [row["dtype"] for row in found[::3]] == ["float32", "bfloat16", "int8"]
    assert all(row["same tokens"] == row["equal start"] == row["same best token"] == "100.0%" for row in exact)
    assert all(row["logit error"] == "0" for row in exact)


def test_a_case_without_a_second_token_is_beside_nothing(capsys):
    found = rows(capsys, "drafts", "--count", 1, "--new-tokens", 2, "--rounds", 1, "--only", "base greedy")
    assert found[0]["x base"] in (1.0, None)
    assert ratio(2.0, 0.0) is None and ratio(1.0, 4.0) == 0.25


def test_the_equal_start_of_two_outputs():
    assert equal_start([1, 2, 3, 4], [1, 2, 9, 4]) == 0.5
    assert equal_start([1, 2], [1, 2, 3, 4]) == equal_start([1, 2, 3, 4], [1, 2]) == 0.5
    assert equal_start([], []) == equal_start([7], [7]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("methods", "--rounds", 0), "--rounds: a number of at least 1"),
        (("methods", "--new-tokens", 1), "--new-tokens: a number of at least 2"),
        (("methods", "--batch", "1,x"), "--batch: comma-separated numbers from 1 to 128"),
        (("methods", "--dtypes", "float64"), "dtype: 'float64' is not one of auto"),
        (("steps", "--shape", "gpt-9"), "shape: 'gpt-9' is not one of qwen2.5-0.5b"),
        (("drafts", "--only", "other"), "--only: 'other' is in none of: base greedy"),
        (("drafts", "--data", "/no/file"), "/no/file: No such file"),
        (("lookahead", "--only", "other"), "--only: 'other' is in none of: LoRA greedy"),
        (("replay", "--rates", "2"), "--rates: comma-separated numbers from 0 to 1"),
    ],
)
def test_what_cannot_be_measured_is_one_line(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 1 and out == "" and message in err and err.count("\n") == 1


def test_lookahead_wants_keywords_in_every_line(capsys, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "One day"}\n', encoding="utf-8")
    code, _, err = run(capsys, "lookahead", "--data", data)
    assert code == 1 and "data.jsonl: keywords" in err
