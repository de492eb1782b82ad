"""tools/prepare_draft.py: what a model writes, for a draft to learn."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mindcold
from mindcold import model_zoo

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_draft.py"


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_ended_texts_of_every_item_and_of_every_beam(method, tmp_path):
    lines = "".join(f"dog park{i} = A dog in park {i}.\n" for i in range(80))
    (tmp_path / "train.txt").write_text(lines, encoding="utf-8")
    command = [sys.executable, str(TOOL), "commongen", "train.txt", "texts.jsonl", "--model", "tiny-base", "--plain"]
    command += ["--adapter", "tiny-keywords", "--count", "6", "--max-new-tokens", "9", "--method", method]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    llm = mindcold.load(model_zoo.path("tiny-base"), model_zoo.path("tiny-keywords"))
    prompts = list(dict.fromkeys(pair["prompt"] for pair in found))
    expected = []
    for prompt in prompts:
        out = llm.generate(prompt, method=method, max_new_tokens=9)
        expected += [
            {"prompt": prompt, "completion": text.text}
            for text in (out.ranked if method == "beam" else [out])
            if text.text and text.token_ids[-1] in llm.config.eos_token_ids
        ]
    assert found == expected and 0 < len(prompts) <= 6
    assert (len(found) > len(prompts)) == (method == "beam")


def test_what_the_model_held_likely_goes_with_its_text(tmp_path):
    """A place for every token and the end, and `mindcold train` learns from it."""
    lines = "".join(f"dog park{i} = A dog in park {i}.\n" for i in range(80))
    (tmp_path / "train.txt").write_text(lines, encoding="utf-8")
    command = [sys.executable, str(TOOL), "commongen", "train.txt", "texts.jsonl", "--model", "tiny-base", "--plain"]
    command += ["--count", "12", "--max-new-tokens", "24", "--top-logprobs", "4", "--adapter", "tiny-keywords"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "texts.jsonl").read_text(encoding="utf-8").splitlines()]
    llm = mindcold.load(model_zoo.path("tiny-base"), model_zoo.path("tiny-keywords"))
    assert found
    for pair in found:
        out = llm.generate(pair["prompt"], max_new_tokens=24, top_logprobs=4)
        assert pair["completion"] == out.text
        assert [[token for token, _ in place] for place in pair["top_logprobs"]] == [
            [token for token, _ in place] for place in out.top_logprobs
        ]
        for place, expected in zip(pair["top_logprobs"], out.top_logprobs, strict=True):
            assert [value for _, value in place] == pytest.approx([value for _, value in expected], abs=2e-4)
    command = [sys.executable, "-m", "mindcold", "train", "--draft-of", str(model_zoo.path("tiny-base"))]
    command += ["--draft-hidden-size", "32", "--draft-layers", "1", "--data", "texts.jsonl", "--output", "draft"]
    command += ["--steps", "2", "--batch-size", "2", "--sequence-length", "64"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    other = json.dumps(found[0] | {"top_logprobs": [[[99_999, -0.1]]] * len(found[0]["top_logprobs"])})
    (tmp_path / "texts.jsonl").write_text(f"{other}\n{other}\n", encoding="utf-8")
    done = subprocess.run([*command, "--restart"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1 and "texts.jsonl: top_logprobs: token ids beyond vocab_size" in done.stderr
