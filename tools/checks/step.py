"""A step of the check: a function in a process of its own, so that nothing it does ends the others."""

import contextlib
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MARK = "check_ascend result: "
"""Begins a line in which a step's process says what it has found; the last one counts, other lines are libraries'."""


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
        out, ended = done.stdout, f"its process ended with {done.returncode}"
        last = (done.stderr.strip().splitlines() or [""])[-1][:300]
        whole = done.returncode == 0
    except subprocess.TimeoutExpired as error:
        out = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        ended, last, whole = f"took more than {timeout:.0f} s", "", False
    found = last_said(out)
    if whole and found:
        return found
    result = Result("failed", round(time.perf_counter() - started, 2), ": ".join(filter(None, (ended, last))))
    if found:
        result.message, result.figures = f"{result.message} ({found.message})", found.figures
    return result


def last_said(out: str) -> Result | None:
    """The last result in what a process printed."""
    for line in reversed(out.splitlines()):
        if line.startswith(MARK):
            with contextlib.suppress(ValueError):  # cut off
                return Result(**json.loads(line.removeprefix(MARK)))
    return None
