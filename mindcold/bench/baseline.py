"""Another program that is measured beside mindcold: a process of its own, idle while mindcold is measured."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mindcold.errors import RequestError, one_line


class Baseline:
    """A script under another interpreter that answers requests, a line of JSON each; it prints "ready" when it is."""

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
        if self._line() != "ready":
            raise self._ended()

    def ask(self, **request: Any) -> dict[str, Any]:
        """What the other program answers to a request; RequestError with its last words where it ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it wrote to standard error says why
        try:
            answer = json.loads(self._line())
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._ended()
        return answer

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _ended(self) -> RequestError:
        self.close()
        self._errors.seek(0)
        errors = self._errors.read().strip().splitlines() or [f"no answer (exit code {self._process.returncode})"]
        return RequestError(f"{self._name}: {one_line(errors[-1], 300)}")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
