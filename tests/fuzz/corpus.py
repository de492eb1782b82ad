"""The fuzzing corpus of tools/fuzz, importable for tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools" / "fuzz"))

from judge import Outcome, judge
from kinds import find_kinds
from run import fuzz

__all__ = ["Outcome", "find_kinds", "fuzz", "judge"]
