"""Programs that use MindFormers run in a process and a folder of their own: its context is global."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_mindformers = pytest.mark.skipif(
    importlib.util.find_spec("mindformers") is None, reason="mindformers is not installed"
)

ROOT = Path(__file__).parents[2]


def run(program, folder):
    """Run a Python program in a folder; its standard output."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"GLOG_v": "3", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout
