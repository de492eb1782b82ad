"""The other process of `PythonPasses`: limits itself, runs code and then tests, and says which passed. A script.

In: a JSON object with code, tests, seconds and memory (bytes). Out: one with passed (a list, shorter where time ran
out) and network, which says what keeps the code from it: "namespace" or "modules".
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

NEW_USER, NEW_NETWORK, NEW_PROCESSES, NEW_IPC = 0x10000000, 0x40000000, 0x20000000, 0x08000000
"""Flags of Linux's unshare."""
DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""

FILE_BYTES, OPEN_FILES = 1 << 20, 32
SOCKETS = ("socket", "_socket", "ssl", "_ssl", "asyncio", "urllib.request", "http.client", "ctypes", "_ctypes")
"""Modules that lead to a socket."""


def supervise(task: dict[str, Any]) -> dict[str, Any]:
    """Run a task in a child, which dies with all it has started when the time is over."""
    library = ctypes.CDLL(None, use_errno=True)
    apart = hasattr(library, "unshare") and not library.unshare(NEW_USER | NEW_NETWORK | NEW_PROCESSES | NEW_IPC)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            if hasattr(library, "prctl"):
                library.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
            run(task, apart, writing)
        finally:
            os._exit(0)
    os.close(writing)
    found, end = b"", time.monotonic() + task["seconds"]
    while (left := end - time.monotonic()) > 0 and select.select([reading], [], [], left)[0]:
        part = os.read(reading, 4096)
        if not part:
            break
        found += part
    os.kill(child, signal.SIGKILL)  # the first process of a namespace of processes: all others end with it
    os.waitpid(child, 0)
    passed = [item == ord("1") for item in found[: len(task["tests"])]]
    return {"passed": passed, "network": "namespace" if apart else "modules"}


def run(task: dict[str, Any], apart: bool, result: int) -> None:
    """Run code and tests here, which share their names; a byte for each test goes to the file descriptor `result`."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    limit(task["seconds"], task["memory"])
    if not apart:
        for name in SOCKETS:
            sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails
    names: dict[str, Any] = {"__name__": "__tested__"}
    ready = passes(task["code"], names)
    for test in task["tests"]:
        os.write(result, b"1" if ready and passes(test, names) else b"0")


def limit(seconds: float, memory: int) -> None:
    """Bounds that the process cannot raise again, unless it is root's."""
    whole = max(1, -int(-seconds // 1))
    for kind, value in (
        (resource.RLIMIT_CPU, whole),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (value, value))


def passes(code: str, names: dict[str, Any]) -> bool:
    """Whether a piece of code runs to its end."""
    try:
        exec(compile(code, "<text>", "exec"), names)
    except BaseException:  # SystemExit too
        return False
    return True


if __name__ == "__main__":
    json.dump(supervise(json.load(sys.stdin)), sys.stdout)
    sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)  # what may be left of the group, and this
