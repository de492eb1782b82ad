"""`mindcold evaluate`, `mindcold convert` and the preparation of training pairs, as a person runs them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mindcold import model_zoo
from mindcold.cli import main
from mindcold.tasks import TASKS, read_items
from mindcold.tokenizer import Tokenizer
from tests.convert.gguf_files import write_gguf

TOOL = Path(__file__).resolve().parent.parent.parent / "tools" / "prepare_task.py"
SETS = "The farmer = a\nlake bread = b\ndog park run = c\ncat tree = d\n"


def run(capsys, *arguments):
    code = main([str(item) for item in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def common(tmp_path):
    (tmp_path / "dev.txt").write_text(SETS, encoding="utf-8")
    return ["evaluate", "--task", "commongen", "--data", tmp_path / "dev.txt", "--model", "tiny-base"]


def test_methods_beside_each_other(capsys, common, tmp_path):
    settings = [
        "--adapter",
        "tiny-keywords",
        "--methods",
        "greedy;cdlh:candidates=2;greedy:draft=trigram",
        "--limit",
        3,
    ]
    settings += ["--max-new-tokens", 8, "--prefix-cache", 64]
    code, out, _ = run(capsys, *common, *settings, "--output", tmp_path / "out", "--json")
    result = json.loads(out)
    assert code == 0 and "prompts" in result["setting"] and result["setting"]["prompts"] == "plain"
    assert result["setting"]["prefix_cache"] == 64
    greedy, cdlh, drafted = result["methods"]
    assert [row["method"] for row in result["methods"]] == ["greedy", "cdlh:candidates=2", "greedy:draft=trigram"]
    assert drafted["same text"] == 1.0 and drafted["hard coverage"] == greedy["hard coverage"]
    assert cdlh["soft coverage"]["value"] >= greedy["soft coverage"]["value"] and cdlh["target passes"] > 8
    assert {row["group"] for row in result["groups"]} == {"2 words", "3 words"}
    written = json.loads((tmp_path / "out" / "evaluate.json").read_text(encoding="utf-8"))
    assert len(written["items"]) == 3 and written["methods"] == result["methods"]
    record = written["items"][0]["methods"]["greedy"]
    assert record["target_passes"] == len(record["token_ids"]) <= 8 and record["text"]
    assert (tmp_path / "out" / "evaluate.png").stat().st_size > 5000
    code, out, _ = run(capsys, *common, "--limit", 1, "--max-new-tokens", 2)
    assert code == 0 and "hard coverage" in out and "soft coverage" in out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--task": "x"}, "task: 'x' is not one of commongen, gsm8k"),
        ({"--data": "/none.txt"}, "/none.txt: No such file"),
        ({"--split": "test"}, "split: 'test' is not one of all"),
        ({"--groups": "7 words"}, "group '7 words' is not one of 2 words, 3 words"),
        ({"--limit": "0"}, "--limit: a positive number"),
        ({"--max-new-tokens": "-1"}, "--max-new-tokens: a positive number"),
        ({"--seed": "-1"}, "--seed: a number >= 0"),
        ({"--prefix-cache": "-1"}, "--prefix-cache: a number >= 0"),
        ({"--prefix-cache": "99999999"}, "prefix_cache: an integer from 0 to 16777216"),
        ({"--prompts": "x"}, "--prompts: 'x' is not one of auto"),
        ({"--methods": "cold:"}, "--methods: 'cold:' is not of the form"),
        ({"--methods": "warm"}, "method: 'warm' is not one of greedy"),
        ({"--methods": "greedy:warmth=1"}, "warmth: not a keyword of generate"),
        ({"--model": "nowhere"}, "nowhere: neither a folder"),
        ({"--prompts": "chat"}, "chat_template: missing"),
        ({"--output": "/dev/null/x"}, "--output: /dev/null/x: "),
    ],
)
def test_what_is_wrong_is_one_line(capsys, common, changes, message):
    settings = {"--limit": "1", "--max-new-tokens": "2"} | changes
    given = [part for pair in settings.items() for part in pair]
    code, out, err = run(capsys, *common, *given)
    assert code == 1 and out == "" and message in err and err.startswith("mindcold evaluate: error: ")
    assert err.count("\n") == 1


def test_the_picture_is_looked_for_first(capsys, common, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("mindcold.llm.load", None)  # not reached
    code, _, err = run(capsys, *common, "--output", tmp_path / "out")
    assert code == 1 and "--output: the picture needs matplotlib" in err and not (tmp_path / "out").exists()


def test_convert(capsys, tmp_path):
    write_gguf(tmp_path / "model.gguf")
    code, out, err = run(capsys, "convert", tmp_path / "model.gguf", tmp_path / "out", "--dtype", "float32")
    assert code == 0 and out == f"{tmp_path / 'out'}\n" and (tmp_path / "out" / "model.safetensors").is_file()
    code, out, err = run(capsys, "convert", tmp_path / "model.gguf", tmp_path / "out")
    assert code == 1 and err == f"mindcold convert: error: {tmp_path / 'out'}: exists already; name a new folder\n"


def test_training_pairs(tmp_path):
    lines = "".join(f"dog park{i} = A dog in park {i}.\n" for i in range(80))
    (tmp_path / "train.txt").write_text(lines, encoding="utf-8")

    def prepare(*arguments):
        command = [
            sys.executable,
            str(TOOL),
            "commongen",
            "train.txt",
            "pairs.jsonl",
            "--model",
            "tiny-base",
            *arguments,
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stderr

    assert prepare("--plain", "--count", "30") == (0, "")
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    items = read_items(TASKS["commongen"], tmp_path / "train.txt", split="train")
    known = {(f"{item.prompt}\n", item.answers[0]) for item in items}
    found = {(pair["prompt"], pair["completion"]) for pair in pairs}
    assert len(found) == 30 and found < known
    assert prepare("--plain", "--count", "81")[1].endswith("pairs in the split 'train', 81 are asked for\n")
    longest = max(len(Tokenizer(model_zoo.path("tiny-base")).encode("".join(pair))) for pair in known)
    assert prepare("--plain", "--sequence-length", str(longest), "--count", str(len(known)))[0] == 0
    error = prepare("--plain", "--sequence-length", str(longest - 1), "--count", str(len(known)))[1]
    assert f"{len(known)} are asked for" in error
    code, error = prepare("--count", "3")
    assert code == 1 and "chat_template: missing" in error and error.count("\n") == 1
