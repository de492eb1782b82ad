"""The graph for Ascend over stand-ins: each file of checks by a pytest of its own.

Operator by operator, as these run, MindSpore shares the state of a process that has compiled graphs before, and was
seen to hand on memory too early there; a process of their own has compiled none but theirs.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKS = sorted((Path(__file__).parent / "own_process").glob("check_*.py"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda path: path.stem)
def test_checks_pass(check, tmp_path):
    options = ["-o", "python_files=check_*.py", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "temporary")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(check)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-5000:]
