"""A step of the check: a function in a process of its own, so that nothing it does ends the others."""

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MARK = "check_ascend result: "
"""Begins the line in which a step's process says what it found; other lines are the libraries'."""


class Missing(Exception):
    """What a step needs is not there; `install` says how to get it."""

    def __init__(self, what: str, install: str):
        super().__init__(what)
        self.install = install


@dataclass(frozen=True, slots=True)
class Setting:
    """What the steps are told."""

    device: str
    """Where MindSpore computes: Ascend or CPU."""
    repeats: int
    """Calls that are timed."""
    items: int
    """Texts that are decoded for speed."""
    model: str
    """Model of the speed step; "" leaves it out."""


@dataclass(slots=True)
class Result:
    """What a step found."""

    state: str
    """ok, missing or failed."""
    seconds: float = 0.0
    message: str = ""
    install: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def run_here(function: Callable[[Setting], dict[str, Any]], setting: Setting) -> Result:
    """The step in this process; what goes wrong in it is its result."""
    started = time.perf_counter()
    try:
        result = Result("ok", figures=function(setting))
        bad = [name for name, row in result.figures.items() if isinstance(row, dict) and row.get("state") == "failed"]
        if bad:
            result.state, result.message = "failed", "failed: " + ", ".join(bad)
    except Missing as error:
        result = Result("missing", message=str(error), install=error.install)
    except BaseException as error:  # a step never ends the rest
        place = traceback.extract_tb(error.__traceback__)[-1]
        first = (str(error).strip().splitlines() or [""])[0][:400]
        result = Result("failed", message=f"{type(error).__name__}: {first} ({place.name}, line {place.lineno})")
    result.seconds = round(time.perf_counter() - started, 2)
    return result


def say(result: Result) -> None:
    """Tell the process that started this one."""
    print(f"\n{MARK}{json.dumps(asdict(result))}", flush=True)


def run_apart(command: Sequence[str], timeout: float) -> Result:
    """The step in a process: a crash and a hang are results too."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, errors="replace", timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return Result("failed", round(timeout, 2), f"took more than {timeout:.0f} s")
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            return Result(**json.loads(line.removeprefix(MARK)))
    last = (done.stderr.strip().splitlines() or [""])[-1][:300]
    return Result(
        "failed", round(time.perf_counter() - started, 2), f"its process ended with {done.returncode}: {last}"
    )
