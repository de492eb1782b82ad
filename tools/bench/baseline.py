"""Another program that is measured beside mindcold: a process of its own, idle while mindcold is measured."""

import subprocess
import tempfile
from pathlib import Path

from mindcold.errors import RequestError


class Baseline:
    """A script under another interpreter that answers requests, a line each; it prints "ready" when it is."""

    def __init__(self, python: str, script: Path, *arguments: object):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(
                [python, str(script), *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        except OSError as error:
            raise RequestError(f"{python}: {error.strerror}; an interpreter is expected") from None
        self._name = f"{python} {script.name}"
        self._answer("ready")

    def measure(self, request: str) -> float:
        """Milliseconds the other program says a request took; RequestError with its last words where it ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it wrote to standard error says why
        return float(self._answer())

    def _answer(self, wanted: str | None = None) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line or (wanted and line != wanted):
            self.close()
            self._errors.seek(0)
            errors = self._errors.read().strip().splitlines() or ["no answer"]
            raise RequestError(f"{self._name}: {errors[-1][:300]}")
        return line

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
