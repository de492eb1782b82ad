"""Where the time of steps goes: counted and printed at the end of a process whose MINDCOLD_TRACE is 1."""

import atexit
import os
import sys
from collections import defaultdict
from functools import cache

from mindcold.ops import trace


class StepTrace:
    """Steps by their number of rows, and the parts of the operators in them."""

    def __init__(self) -> None:
        self._steps: defaultdict[int, list[float]] = defaultdict(list)
        self._parts: defaultdict[tuple[int, str], float] = defaultdict(float)

    def add(self, rows: int, seconds: float | None) -> None:
        """Take up a step of so many rows; of one that had to be compiled (None) what was counted is forgotten."""
        parts = trace.take()
        if seconds is None:
            return
        self._steps[rows].append(seconds)
        for name, part in parts.items():
            self._parts[rows, name] += part.seconds

    def table(self) -> str:
        """One block a number of rows: mean milliseconds of a step, and of each part with its share, largest first."""
        lines = []
        for rows, steps in sorted(self._steps.items()):
            whole, count = sum(steps), len(steps)
            parts = {name: seconds for (size, name), seconds in self._parts.items() if size == rows}
            parts["between operators"] = whole - sum(parts.values())
            lines.append(f"step of {rows} rows: {count} times, {1e3 * whole / count:.3f} ms")
            for name, seconds in sorted(parts.items(), key=lambda item: -item[1]):
                lines.append(f"  {name:18} {1e3 * seconds / count:9.3f} ms {100 * seconds / whole:6.1f} %")
        return "\n".join(lines)


@cache
def step_trace() -> StepTrace | None:
    """The trace of this process, None where nobody asked for it."""
    if os.environ.get("MINDCOLD_TRACE") != "1":
        return None
    trace.start()
    counted = StepTrace()
    atexit.register(lambda: print(counted.table(), file=sys.stderr))
    return counted
