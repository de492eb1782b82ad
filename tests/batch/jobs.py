"""Batch jobs on a small random model, for tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.folders import write_model

ROOT = Path(__file__).resolve().parents[2]


def request(name, url="/v1/completions", **body):
    """One batch line."""
    return {"custom_id": name, "method": "POST", "url": url, "body": body}


def requests(count, model="model"):
    """Lines of token ids, greedy and sampled ones in turn."""
    return [
        request(
            f"r{i}",
            model=model,
            prompt=[3 + i % 20, 5, 7 + i % 50],
            max_tokens=6 + i % 9,
            seed=i,
            temperature=0 if i % 2 else 0.9,
        )
        for i in range(count)
    ]


def write_lines(path, values):
    """A JSON Lines file; values that are bytes are written as they are."""
    lines = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answers(path):
    """Choices or error by custom_id (the id where there is none): what must not depend on how a job was run."""
    found = {}
    for item in read_lines(path):
        name = item["custom_id"] or item["id"]
        assert name not in found, f"{name} twice"
        found[name] = item["response"]["body"]["choices"] if item["response"] else item["error"]
    return found


def model(folder):
    return write_model(folder / "model", seed=3)


def command(model, source, output, *more):
    """A batch job as a process of its own."""
    return [
        *(sys.executable, "-m", "mindcold", "batch", "--model", str(model), "--dtype", "float32"),
        *("--input", str(source), "--output", str(output), *more),
    ]


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RANK_", "MS_"))}
    return kept | {"PYTHONPATH": str(ROOT)} | more


def run(arguments, timeout=120, cwd=None, preexec_fn=None, **more):
    """A process run to its end; `more` are variables of its environment."""
    how = {"capture_output": True, "text": True, "timeout": timeout, "cwd": cwd, "preexec_fn": preexec_fn}
    return subprocess.run(arguments, env=environment(**more), **how)
