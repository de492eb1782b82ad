"""`mindcold warm-drafts`: tables of what the model writes, and what they are worth on other prompts."""

import json

import pytest
from safetensors.numpy import load_file

import mindcold
from mindcold.cli import main
from mindcold.model_zoo.corpus.problems import held_out

MODEL = ["--model", "tiny-base", "--adapter", "tiny-steps"]
PROBLEMS = [item.prompt for item in held_out(0, 60)]
WARM, HELD_OUT = PROBLEMS[:40], PROBLEMS[40:]


def run(capsys, *arguments):
    code = main(["warm-drafts", *[str(item) for item in arguments]])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"{prompt}\n" for prompt in WARM), encoding="utf-8")
    return path


def decode(llm, method):
    """Texts of the prompts that were kept back, each with the tables as they are now, and tokens per pass."""
    outs = []
    for prompt in HELD_OUT:
        outs.append(llm.generate(prompt, method, draft="trigram", draft_tokens=8, max_new_tokens=40))
    passes = sum(out.stats.target_passes for out in outs)
    return [out.token_ids for out in outs], sum(len(out.token_ids) for out in outs) / passes


@pytest.mark.parametrize("method", ["greedy", "cold"])
def test_warmed_tables_raise_the_tokens_per_pass_and_change_no_text(capsys, prompts, tmp_path, method):
    tables = tmp_path / "tables.safetensors"
    arguments = [*MODEL, "--data", prompts, "--method", method, "--output", tables, "--max-new-tokens", 40]
    code, out, _ = run(capsys, *arguments, "--json")
    result = json.loads(out)
    assert code == 0 and (result["items"], result["method"], result["output"]) == (40, method, str(tables))
    assert result["tokens"] > result["target_passes"] > 0

    llm = mindcold.load("tiny-base", "tiny-steps")
    plain = [llm.generate(prompt, method, max_new_tokens=40).token_ids for prompt in HELD_OUT]
    cold, untaught = decode(llm, method)
    llm.load_drafts(tables)
    warm, taught = decode(llm, method)
    assert cold == warm == plain and taught > 1.05 * untaught

    other = "cold" if method == "greedy" else "greedy"  # what it writes is another thing to learn
    llm.forget_drafts()
    _, untaught = decode(llm, other)
    llm.load_drafts(tables)
    assert decode(llm, other)[1] == untaught


def test_tables_are_replaced_and_other_files_are_not(capsys, prompts, tmp_path):
    tables = tmp_path / "tables.safetensors"
    arguments = [*MODEL, "--data", prompts, "--limit", 3, "--max-new-tokens", 8, "--output", tables]
    code, out, _ = run(capsys, *arguments)
    first = load_file(tables)
    assert code == 0 and "3 texts by greedy" in out and "per pass" in out
    assert run(capsys, *arguments)[0] == 0
    again = load_file(tables)  # from empty tables
    assert first.keys() == again.keys() and all((again[name] == first[name]).all() for name in first)
    tables.write_bytes(b"my notes")
    code, _, err = run(capsys, *arguments)
    assert code == 1 and "not overwritten, name another --output" in err and tables.read_bytes() == b"my notes"
    assert err.count("\n") == 1


def test_prompts_from_json_lines_and_tasks(capsys, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "One day"}\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text("text,category\nWhere is my card?,card_arrival\n", encoding="utf-8")
    for name, task, tokens in (("a.jsonl", "prompts", 4), ("a.csv", "banking77", 3)):
        arguments = ["--data", tmp_path / name, "--task", task, "--output", tmp_path / "t.safetensors"]
        code, out, _ = run(capsys, *MODEL, *arguments, "--max-new-tokens", tokens, "--json")
        assert code == 0 and json.loads(out)["tokens"] <= tokens and json.loads(out)["task"] == task


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--data": "/none.txt"}, "/none.txt: No such file"),
        ({"--output": "/nowhere/t.safetensors"}, "--output: /nowhere: no such folder"),
        ({"--method": "cold:"}, "--method: 'cold:' is not of the form"),
        ({"--method": "magic"}, "method: 'magic' is not one of"),
        ({"--method": "greedy:draft=none"}, "--method: draft: 'none' learns nothing"),
        ({"--method": "best_of"}, "draft: 'trigram' is not one of none for method 'best_of'"),
        ({"--task": "magic"}, "task: 'magic' is not one of commongen"),
        ({"--limit": "0"}, "--limit: a positive number"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, prompts, tmp_path, changes, message):
    given = {"--data": prompts, "--output": tmp_path / "t.safetensors", "--max-new-tokens": 2} | changes
    code, out, err = run(capsys, *MODEL, *[part for pair in given.items() for part in pair])
    assert code == 1 and out == "" and message in err and err.startswith("mindcold warm-drafts: error: ")
    assert err.count("\n") == 1 and not (tmp_path / "t.safetensors").exists()
