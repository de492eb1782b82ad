"""`mindcold tune` as a person runs it."""

import json
import shutil
import sys

import pytest

import mindcold
from mindcold.cli import main
from mindcold.decoding_defaults import FILE, DecodingDefaults
from mindcold.model_zoo import path as shipped
from mindcold.model_zoo.corpus.problems import held_out


def run(capsys, *arguments):
    code = main(["tune", *[str(item) for item in arguments]])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def adapter(tmp_path):
    return shutil.copytree(shipped("tiny-steps"), tmp_path / "steps")


@pytest.fixture
def common(tmp_path, adapter):
    lines = [{"prompt": item.prompt, "answer": str(item.answer), "scorer": "number"} for item in held_out(0, 60)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return ["--model", "tiny-base", "--adapter", adapter, "--data", tmp_path / "own.jsonl"]


def test_defaults_are_written_beside_the_adapter_and_used(capsys, common, adapter, tmp_path):
    settings = ["--limit", 44, "--alphas", 0.1, "--betas", "0.5,8", "--draft-tokens", 4, "--max-new-tokens", 48]
    code, out, _ = run(capsys, *common, *settings, "--output", tmp_path / "out", "--json")
    result = json.loads(out)
    assert code == 0 and result["written"] == str(adapter / FILE)
    by_beta = {row["beta"]: row["accuracy"]["value"] for row in result["grid"]}
    assert by_beta[0.5] > by_beta[8] and result["best"] == "cold:alpha=0.1,beta=0.5"  # so much contrast hurts
    greedy, best = result["test"]
    assert (greedy["method"], best["method"]) == ("greedy", "cold:alpha=0.1,beta=0.5")
    difference = result["difference"]
    assert difference["value"] == pytest.approx(best["accuracy"]["value"] - greedy["accuracy"]["value"])
    assert result["wins"] == (difference["low"] > 0) and (result["chosen_on"], result["tested_on"]) == (22, 22)
    assert all(row["same text"] in (None, 1.0) for row in result["drafts"]) and len(result["drafts"]) == 3
    written = DecodingDefaults.of_folder(adapter)
    assert written.to_dict() == result["defaults"] == json.loads((adapter / FILE).read_text(encoding="utf-8"))
    assert written.method == ("cold" if result["wins"] else "greedy")
    assert written.tuned_on.score == best["accuracy"]["value"] and written.tuned_on.data == "own.jsonl"
    texts = json.loads((tmp_path / "out" / "tune.json").read_text(encoding="utf-8"))["items"]
    prompts = [{item["prompt"] for item in texts[name]} for name in ("chosen_on", "tested_on")]
    assert len(prompts[0]) == len(prompts[1]) == 22 and not prompts[0] & prompts[1]
    assert (tmp_path / "out" / "tune.png").stat().st_size > 5000

    llm, item = mindcold.load("tiny-base", adapter), texts["tested_on"][0]
    out = llm.generate(item["prompt"], max_new_tokens=48)
    chosen = best["method"] if result["wins"] else "greedy"
    assert out.token_ids == item["methods"][chosen]["token_ids"] and out.stats.method == written.method


def test_a_dry_run_writes_nothing_and_prints_tables(capsys, common, adapter):
    settings = ["--limit", 4, "--alphas", 0.1, "--betas", 0.5, "--max-new-tokens", 4, "--no-drafts", "--dry-run"]
    code, out, _ = run(capsys, *common, *settings)
    assert code == 0 and "alpha \\ beta" in out and out.endswith("nothing is written\n")
    assert "2 items to test on are too few" in out and not (adapter / FILE).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--alphas": "0"}, "--alphas: alpha: a number in"),
        ({"--betas": "a"}, "--betas: comma-separated numbers"),
        ({"--draft-tokens": "65"}, "draft_tokens: an integer from 1 to 64"),
        ({"--draft-tokens": "x"}, "--draft-tokens: comma-separated integers"),
        ({"--limit": "0"}, "--limit: a positive number"),
        ({"--limit": "1"}, "--limit: two items at least"),
        ({"--seed": "-1"}, "--seed: a number >= 0"),
        ({"--adapter": "nowhere"}, "nowhere: neither a folder"),
        ({"--data": "/none.jsonl"}, "/none.jsonl: No such file"),
        ({"--task": "spec-bench"}, "category: a non-empty string is expected"),
        ({"--task": "humaneval"}, "task: 'humaneval' has no score to choose settings by"),
        ({"--output": "/dev/null/x"}, "--output: /dev/null/x: "),
    ],
)
def test_what_is_wrong_is_one_line(capsys, common, adapter, monkeypatch, changes, message):
    monkeypatch.setattr("mindcold.llm.load", None)  # not reached
    given = [part for pair in changes.items() for part in pair]
    code, out, err = run(capsys, *common, *given)
    assert code == 1 and out == "" and message in err and err.startswith("mindcold tune: error: ")
    assert err.count("\n") == 1 and not (adapter / FILE).exists()


def test_other_content_is_not_overwritten(capsys, common, adapter, monkeypatch):
    (adapter / FILE).write_text('{"notes": "mine"}', encoding="utf-8")
    monkeypatch.setattr("mindcold.llm.load", None)  # not reached
    code, _, err = run(capsys, *common)
    assert code == 1 and "notes: not a known field" in err and "not overwritten, move the file away first" in err
    assert (adapter / FILE).read_text(encoding="utf-8") == '{"notes": "mine"}'


def test_the_picture_is_looked_for_first(capsys, common, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("mindcold.llm.load", None)
    code, _, err = run(capsys, *common, "--output", tmp_path / "out")
    assert code == 1 and "--output: the picture needs matplotlib" in err and not (tmp_path / "out").exists()
