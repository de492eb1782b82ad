"""The demo on the real model, on one that is made up: what it asks for, what it prints, and its one-line errors."""

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindcold.decoding import KeptPrompts, find
from mindcold.model_folder import find_folder
from mindcold.sampling_params import SamplingParams

PATH = Path(__file__).parents[2] / "tools" / "demo_smollm2.py"
SPEC = importlib.util.spec_from_file_location("demo_smollm2", PATH)
demo = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(demo)


class FakeLLM:
    trigrams = None

    kept_prompts = KeptPrompts(0)

    def forget_drafts(self):
        pass

    def generate(self, prompt, method, adapter=None, **options):
        find(method).check(SamplingParams.of(options))  # what the demo asks for can be decoded
        text = prompt[0]["content"].partition(": ")[2] if method == "cold" else "A dog."
        zeros = dict.fromkeys(("draft_passes", "drafted", "accepted", "weight_bytes", "kv_bytes"), 0)
        stats = SimpleNamespace(target_passes=2, error=None, **zeros)
        return SimpleNamespace(text=text, token_ids=[len(text)], stats=stats)


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["demo", *arguments])
    monkeypatch.setattr("mindcold.llm.load", lambda model, adapter: FakeLLM())
    code = demo.main()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_texts_and_tables(monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "--adapter", "tiny-steps", "--shown", "1")
    assert code == 0 and out.count("Write one sentence with these words") == 1
    assert "CoLD           all words  dog, ball, catch, park." in out and "greedy, drafts: 3 of 3 texts" in out
    assert "CoLD, drafts: 8 of 8 texts are those without drafts" in out
    code, out, _ = run(monkeypatch, capsys, "--adapter", "tiny-steps", "--sets", "2", "--json")
    parts = json.loads(out)
    assert code == 0 and [len(rows) for rows in parts.values()] == [len(demo.METHODS), len(demo.DRAFTS)]
    assert parts["sentences with given words"][2]["hard coverage"]["value"] == 1.0


def test_an_adapter_that_is_not_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo", "--adapter", "/nowhere"])
    monkeypatch.setattr("mindcold.llm.load", lambda model, adapter: find_folder(adapter))
    code, (out, err) = demo.main(), capsys.readouterr()
    assert (code, out) == (1, "") and err.startswith("demo: error: /nowhere: neither a folder")
    assert err.count("\n") == 1


@pytest.mark.parametrize("rows", [demo.METHODS, demo.DRAFTS])
def test_drafted_rows_stand_beside_their_undrafted_form(rows):
    drafted = [label for label in rows if label.endswith(demo.DRAFTED)]
    assert drafted and all(label.removesuffix(demo.DRAFTED) in rows for label in drafted)
    for label in drafted:
        method, options = rows[label]
        plain, own = rows[label.removesuffix(demo.DRAFTED)]
        assert (method, {key: value for key, value in options.items() if key != "draft"}) == (plain, own)
