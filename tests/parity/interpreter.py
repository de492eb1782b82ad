"""The interpreter that the other side of a comparison runs in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def peer_python():
    """An interpreter with torch, transformers and peft: MINDCOLD_PEER_PYTHON, .peer, or this one."""
    for candidate in (os.environ.get("MINDCOLD_PEER_PYTHON"), ROOT / ".peer" / "bin" / "python", sys.executable):
        if candidate and Path(candidate).exists():
            check = [str(candidate), "-c", "import torch, transformers, peft"]
            if subprocess.run(check, capture_output=True, timeout=300).returncode == 0:
                return str(candidate)
    return None


def require_peer():
    """As `peer_python`; the test is skipped where there is none."""
    found = peer_python()
    if found is None:
        pytest.skip("no interpreter with torch, transformers and peft (MINDCOLD_PEER=1 bash tools/test.sh makes one)")
    return found
