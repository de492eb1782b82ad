"""The process that runs what strangers wrote, from outside: started when needed, used again, ended when late."""

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mindcold.isolated.child import BYTES, ERROR, MEMORY, MEMORY_ERROR, READY

SECONDS = 5.0
"""What a task may take."""

_START_SECONDS = 60.0
_ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from mindcold.isolated.child import serve; serve()"


class TaskError(Exception):
    """A task failed; `limit` says whether it was by time or memory. The message is that of the task's own exception."""

    def __init__(self, message: str, limit: bool = False):
        super().__init__(message)
        self.limit = limit


def call(module: str, function: str, *arguments: Any, seconds: float = SECONDS) -> Any:
    """What a function of this room gives, called in the bounded process: in `seconds`, and MEMORY bytes beyond its own.

    Arguments and result are what JSON can hold; a result may also be bytes. Raises TaskError for what the function
    raises, and where it is late, large or crashes; TypeError, ValueError or RecursionError for other arguments.
    """
    request = json.dumps([f"{__package__}.{module}", function, arguments, seconds]).encode() + b"\n"
    with _PROCESS.lock:
        return _PROCESS.get().run(request, seconds)


class _Worker:
    """One process and the pipes to it."""

    def __init__(self) -> None:
        path = [_ROOT, *(entry for entry in sys.path if entry)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the process that waits
        )
        assert self._process.stdin and self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN | select.POLLHUP)
        self._buffer = b""
        try:
            ready = self._read(len(READY), time.monotonic() + _START_SECONDS)
        except _End:
            ready = b""
        except BaseException:
            self.end()
            raise
        if ready != READY:
            self.end()
            raise TaskError(f"the process for it does not start ({sys.executable})")

    @property
    def alive(self) -> bool:
        """Whether it can take a task."""
        return self._process.poll() is None and not self._in.closed

    def run(self, request: bytes, seconds: float) -> Any:
        """The result of one task; the process is ended unless it is as good as new."""
        keep = False
        try:
            deadline = time.monotonic() + seconds
            self._in.write(request)
            self._in.flush()
            head = self._read(10, deadline)
            content = self._read(int(head[2:]), deadline)
            kind, keep = head[:1], head[1:2] == b"1"
        except TimeoutError:
            raise TaskError(f"takes more than {seconds:g} seconds", limit=True) from None
        except (_End, BrokenPipeError):
            raise TaskError(f"takes more than {MEMORY >> 20} MB of memory, or crashes", limit=True) from None
        finally:
            if not keep:
                self.end()
        if kind == MEMORY_ERROR:
            raise TaskError(f"takes more than {MEMORY >> 20} MB of memory", limit=True)
        if kind == ERROR:
            raise TaskError(json.loads(content))
        return content if kind == BYTES else json.loads(content)

    def _read(self, count: int, deadline: float) -> bytes:
        """So many bytes of its output."""
        parts, missing = [], count
        while missing:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise TimeoutError
            part = os.read(self._out.fileno(), min(missing, 1 << 20))
            if not part:
                raise _End
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Kill it and give back what it holds."""
        self._process.kill()
        for pipe in (self._in, self._out):
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.wait()


class _End(Exception):
    """The process has gone."""


class _Process:
    """The one worker of this process, and who may use it now."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew, as in a forked child, where the worker is its parent's."""
        self.lock, self._worker = threading.Lock(), None

    _worker: _Worker | None

    def get(self) -> _Worker:
        """The worker, started if there is none."""
        if self._worker is None or not self._worker.alive:
            try:
                self._worker = _Worker()
            except OSError as error:
                raise TaskError(f"no process for it can be started ({error.strerror or error})") from None
        return self._worker

    def end(self) -> None:
        """End the worker; another is started when there is a task."""
        if self._worker is not None:
            self._worker.end()


_PROCESS = _Process()
atexit.register(_PROCESS.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_PROCESS.forget)
