"""Runs that are killed and pre-empted at any moment end as an undisturbed one, bit by bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from mindcold.cli import main
from tests.folders import write_model

ROOT = Path(__file__).resolve().parents[2]
TOKENIZER = ROOT / "model_zoo" / "tiny-base"


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """A run of a few hundred quick steps: dropout, accumulation, evaluation."""
    folder = tmp_path_factory.mktemp("faults")
    write_model(folder / "model", vocab_size=2048, num_hidden_layers=1, tie_word_embeddings=True)
    lines = [json.dumps({"prompt": f"{i} + 1?", "completion": f" {i + 1}"}) for i in range(40)]
    (folder / "train.jsonl").write_text("\n".join(lines[:32]), encoding="utf-8")
    (folder / "dev.jsonl").write_text("\n".join(lines[32:]), encoding="utf-8")
    flags = ["--model", str(folder / "model"), "--tokenizer", str(TOKENIZER), "--data", str(folder / "train.jsonl")]
    flags += ["--held-out", str(folder / "dev.jsonl"), "--lora-rank", "2", "--lora-dropout", "0.2", "--steps", "60"]
    flags += ["--target-modules", "all-linear", "--batch-size", "4", "--accumulation", "2", "--sequence-length", "16"]
    return [*flags, "--save-every", "3", "--evaluate-every", "5"]


def begin(flags, output):
    """The command as a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RANK_", "MS_"))}
    command = [sys.executable, "-m", "mindcold", "train", *flags, "--output", str(output)]
    return subprocess.Popen(command, env=env | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)


def steps(output):
    log = output / "run" / "loss.jsonl"
    return log.read_text(encoding="utf-8").count("learning_rate") if log.is_file() else 0


def wait_for(count, output, process, limit=120):
    """Until the run has made so many steps."""
    end = time.monotonic() + limit
    while steps(output) < count:
        assert process.poll() is None and time.monotonic() < end, process.stderr.read()
        time.sleep(0.002)


def test_killed_and_preempted_it_ends_as_an_undisturbed_run(flags, tmp_path):
    output = tmp_path / "disturbed"
    for count in (4, 17):
        process = begin(flags, output)
        wait_for(count, output, process)
        process.kill()
        process.wait()
    before = steps(output)
    process = begin(flags, output)
    wait_for(before + 4, output, process)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 75, error
    assert "run the same command again" in error and "Traceback" not in error
    assert not (output / "adapter_model.safetensors").exists() and steps(output) < 60

    assert main(["train", *flags, "--output", str(output)]) == 0
    assert main(["train", *flags, "--output", str(tmp_path / "undisturbed")]) == 0
    for name in ("adapter_model.safetensors", "run/last.safetensors", "run/best.safetensors"):
        mine, its = (load_file(folder / name) for folder in (output, tmp_path / "undisturbed"))
        assert mine.keys() == its.keys() and all(mine[key].tobytes() == its[key].tobytes() for key in mine)
    for name in ("run/loss.jsonl", "run/settings.json", "adapter_config.json"):
        assert (output / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()
    assert not list(output.rglob("partial-*"))  # what a kill leaves half written is removed


def test_a_signal_before_the_first_step_is_the_same_exit_code(flags, tmp_path):
    output = tmp_path / "out"
    process = begin(flags, output)
    end = time.monotonic() + 120
    while not (output / "run" / "settings.json").is_file():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 75, error
    assert steps(output) < 60
