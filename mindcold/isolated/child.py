"""The process that runs strangers' code, as seen from inside: tasks by name, one after the other, under its bounds."""

import json
import math
import os
import resource
from importlib import import_module
from pathlib import Path
from typing import Any

MEMORY = 768 << 20
"""Bytes of address space beyond what it starts with."""

READY = b"ready\n"
BYTES, JSON, ERROR, MEMORY_ERROR = b"b", b"j", b"e", b"m"
"""Kinds of answers: each is the kind, whether the process is as good as new, eight digits of size, and the content."""


def serve() -> None:
    """Answer the requests on standard input, a line of JSON each: module, function, arguments, seconds."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what a task prints is no answer
    start = _size()
    _limit(resource.RLIMIT_AS, start + MEMORY)
    _limit(resource.RLIMIT_CORE, 0)
    answers.write(READY)
    answers.flush()
    for line in requests:
        kind, content = _answer(*json.loads(line))
        fresh = kind != MEMORY_ERROR and _size() < start + MEMORY // 4
        answers.write(b"%b%d%08d" % (kind, fresh, len(content)) + content)
        answers.flush()


def _answer(module: str, name: str, arguments: list[Any], seconds: float) -> tuple[bytes, bytes]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds) + 1)  # nobody may be left to end it
    try:
        result = getattr(import_module(module), name)(*arguments)
        if isinstance(result, bytes):
            return BYTES, result
        return JSON, json.dumps(result).encode()
    except MemoryError:
        return MEMORY_ERROR, b""
    except BaseException as error:  # a panic of a library is no Exception
        line = " ".join(str(error).split())[:1000] or type(error).__name__
        return ERROR, json.dumps(line).encode()


def _limit(what: int, amount: int) -> None:
    """Lower a limit, if it is not below that already."""
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (amount if most == resource.RLIM_INFINITY else min(amount, most), most))


def _size() -> int:
    """Address space in use, bytes; where the system does not say it, as good as nothing."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
