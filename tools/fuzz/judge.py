"""One case of the fuzzing corpus: run and judged by what every case has to keep to."""

import gc
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from mindcold.errors import MindcoldError

SECONDS, MEGABYTES = 10.0, 1024.0
"""What a case may take at most; memory is what it needs beyond what was in use before."""

LINE = 1000
"""Characters an error may have, with the paths in it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: "accepted", "refused" (in one line of ours) or "failed" (anything else), and why."""

    verdict: str
    why: str
    seconds: float
    megabytes: float


class Overtime(BaseException):
    """A case that does not end."""


def judge(run: Callable[[Any], None], case: Any, folder: Path) -> Outcome:
    """Run one case in an empty `folder`, where its temporary files go too; it must leave the folder empty."""
    process, home = psutil.Process(), Path.cwd()
    gc.collect(1)
    gc.freeze()  # older garbage, were it freed within the case, would hide what the case needs
    _forget_peak()
    before, began = process.memory_info().rss, time.monotonic()
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    try:
        with _alarm():
            verdict, why = _run(run, case)
        seconds, megabytes = time.monotonic() - began, (_peak() - before) / 1e6
    finally:
        gc.unfreeze()
        os.chdir(home)
        tempfile.tempdir = None
    left = sorted(path.name for path in folder.iterdir())
    if verdict != "failed":
        for wrong, what in (
            (bool(left), f"wrote {left[:3]}"),
            (seconds > SECONDS, f"took {seconds:.1f} s"),
            (megabytes > MEGABYTES, f"took {megabytes:.0f} MB"),
        ):
            if wrong:
                verdict, why = "failed", f"{what}; {why}"
                break
    return Outcome(verdict, why, seconds, max(0.0, megabytes))


def _run(run: Callable[[Any], None], case: Any) -> tuple[str, str]:
    try:
        run(case)
    except MindcoldError as error:
        message = str(error)
        if not message or len(message) > LINE or not message.isprintable():
            return "failed", f"not one line: {message[:200]!r} ({len(message)} characters)"
        return "refused", message
    except Overtime:
        return "failed", f"took more than {2 * SECONDS:g} s"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of a library is no Exception
        return "failed", f"{type(error).__name__}: {str(error)[:300]}"
    return "accepted", ""


@contextmanager
def _alarm() -> Iterator[None]:
    """End a case by a signal where that can be: what loops in C goes on."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Overtime

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def _forget_peak() -> None:
    """Let the kernel count the peak of memory anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """Peak of resident memory in bytes since it was counted anew."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
