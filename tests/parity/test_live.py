"""The same comparison with fresh random models, where torch, transformers and peft are installed."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.parity.interpreter import require_peer
from tests.parity.peer import ALPHA, BETA
from tests.parity.test_golden import check_case, load_case

PEER = Path(__file__).with_name("peer.py")


@pytest.fixture(scope="module")
def python():
    return require_peer()


@pytest.fixture(scope="module", params=["llama-scaled", "mistral", "qwen2", "qwen3"])
def fresh(request, python, tmp_path_factory):
    """A case with a seed of its own: the folder, its seed in every failure message."""
    seed = random.SystemRandom().randrange(10**6)
    folder = tmp_path_factory.mktemp("live") / f"{request.param}-seed-{seed}"
    done = subprocess.run([python, str(PEER), request.param, str(seed), str(folder)], capture_output=True, timeout=600)
    assert done.returncode == 0, f"{folder.name}: {done.stderr.decode()[-500:]}"
    return folder


def test_fresh_models(fresh):
    try:
        check_case(*load_case(fresh), batch=False)
    except AssertionError as error:
        raise AssertionError(f"{fresh.name}: {error}") from error


def test_command_line(fresh):
    with np.load(fresh / "golden.npz", allow_pickle=False) as arrays:
        golden = dict(arrays)
    ids = ",".join(map(str, golden["prompt_0"]))
    command = [sys.executable, "-m", "mindcold", "generate", "--model", fresh / "model", "--adapter", fresh / "adapter"]
    command += ["--ids", ids, "--method", "cold", "--alpha", ALPHA, "--beta", BETA, "--max-new-tokens", 12]
    command += ["--dtype", "float32", "--json"]
    done = subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    out = json.loads(done.stdout)
    expected = golden["cold_0"].tolist()[:12]
    # end-of-text ends the command's output, not the golden one
    eos = json.loads((fresh / "model" / "config.json").read_text()).get("eos_token_id")
    expected = expected[: expected.index(eos) + 1] if eos in expected else expected
    assert out["token_ids"] == expected, fresh.name
    assert {"token_ids", "text", "finish_reason", "stats"} <= set(out)
