"""Python that passes tests, run in a process of its own."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.text import TextState

SANDBOX = Path(__file__).with_name("sandbox.py")
FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
GRACE = 2.0
"""Seconds the other process may take beside those of the code."""
KEPT = 64
"""Texts whose results are kept."""


class PythonPasses:
    """The share of `tests` (asserts, or any Python that raises where it fails) that pass after the text has been run.

    UNSAFE for models and prompts you do not trust: what the model writes is executed. So it is off unless
    `run_untrusted_code=True` is given, and plain data, such as a request body, cannot ask for it. `prefix` is the code
    in front of the text, such as the head of the function it completes; of a text with Markdown code the first block
    is taken. Of execution as a reward (PerfCodeGen, arXiv 2412.03578; StepCoder, arXiv 2402.01391) this is the part
    that fits decoding: `best_of` and `beam` with `rerank` choose by it.

    Each text runs in a new process with an empty environment, in an empty folder that is removed afterwards, killed
    after `seconds` of wall time, with at most `memory` MiB, files of 1 MiB and 32 open files; it cannot start processes
    or threads, unless the user is root. On Linux where unprivileged namespaces are allowed it has no network, can
    signal no other process, and all it starts dies with it. Elsewhere only the modules that lead to sockets are taken
    away, and what leaves the group of processes survives: this keeps from accidents, not from intent. `isolation` says
    which holds. In both it can read and change every file that the user can, so use a container, and code that sets
    out to forge its result can: it is a reward, no proof.
    """

    cumulative = False

    def __init__(
        self,
        tests: Sequence[str],
        prefix: str = "",
        *,
        run_untrusted_code: bool = False,
        seconds: float = 3.0,
        memory: int = 512,
    ):
        if run_untrusted_code is not True:
            raise ConstraintError(
                "constraint PythonPasses: it executes what the model writes; give run_untrusted_code=True where that "
                "may be"
            )
        if os.name != "posix":
            raise ConstraintError("constraint PythonPasses: the limits it needs exist on POSIX systems only")
        if isinstance(tests, str) or not tests or not all(isinstance(item, str) and item.strip() for item in tests):
            raise ConstraintError("constraint PythonPasses: a list of tests is expected, each a piece of Python")
        if not 0.1 <= seconds <= 8 or not 64 <= memory <= 1 << 16:
            raise ConstraintError("constraint PythonPasses: seconds from 0.1 to 8 and memory from 64 MiB are expected")
        self.tests, self.prefix, self._seconds, self._memory = list(tests), prefix, seconds, memory
        for test in self.tests:
            try:
                ast.parse(test)
            except (SyntaxError, ValueError):
                raise ConstraintError(f"constraint PythonPasses: no Python: {test!r:.60}") from None
        self._known: dict[str, list[bool]] = {}

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        return TextState(vocabulary.text("PythonPasses"), self.score, explain=self.failing)

    def score(self, text: str) -> float:
        """The share of the tests that pass."""
        return sum(self._passed(text)) / len(self.tests)

    def failing(self, text: str) -> str:
        """The tests that do not pass."""
        failed = [test for test, passed in zip(self.tests, self._passed(text), strict=True) if not passed]
        return f"{len(failed)} of {len(self.tests)} fail, first {failed[0].strip()}"

    def isolation(self) -> str:
        """What keeps the code from the network here: "namespace", or "modules" (see above)."""
        return self._run("", [])["network"]

    def _passed(self, text: str) -> list[bool]:
        if text not in self._known:
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            block = FENCE.search(text)
            passed = self._run(self.prefix + (block[1] if block else text), self.tests)["passed"]
            self._known[text] = passed + [False] * (len(self.tests) - len(passed))
        return self._known[text]

    def _run(self, code: str, tests: list[str]) -> dict[str, Any]:
        """What the other process says; nothing has passed where it says nothing."""
        task = {"code": code, "tests": tests, "seconds": self._seconds, "memory": self._memory << 20}
        pipe, command = subprocess.PIPE, [sys.executable, "-I", "-S", str(SANDBOX)]
        options: dict[str, Any] = {"stdin": pipe, "stdout": pipe, "stderr": subprocess.DEVNULL, "env": {}}
        with (
            tempfile.TemporaryDirectory(prefix="mindcold-", ignore_cleanup_errors=True) as folder,
            subprocess.Popen(command, cwd=folder, start_new_session=True, **options) as process,
        ):
            try:
                out, _ = process.communicate(json.dumps(task).encode(), self._seconds + GRACE)
            except subprocess.TimeoutExpired:
                out = b""
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
        if not out:
            raise ConstraintError("constraint PythonPasses: the process that runs the code could not be started")
        return json.loads(out)
