"""How a run gets on: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

EVERY = 10.0
"""Seconds between lines."""


class Progress:
    """Steps, mean loss of the last ones, labels a second and the time that is left, on stderr."""

    def __init__(self, total: int, done: int, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._total, self._done, self._mine, self._labels = total, done, 0, 0
        self._began = self._said = time.monotonic()
        self._losses: list[float] = []
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm(total=total, initial=done, unit="step", file=self._stream)

    def update(self, loss: float, labels: int) -> None:
        """Tell a step."""
        self._done, self._mine, self._labels = self._done + 1, self._mine + 1, self._labels + labels
        self._losses = [*self._losses[-49:], loss]
        now = time.monotonic()
        seconds = max(now - self._began, 1e-9)
        state = f"loss {sum(self._losses) / len(self._losses):.4f}, {self._labels / seconds:.0f} labels/s"
        if self._bar is not None:
            self._bar.set_postfix_str(state, refresh=False)
            self._bar.update()
        elif now - self._said >= EVERY or self._mine == 1:
            self._said = now
            self.say(f"step {self._done} of {self._total}, {state}, {self._left(seconds)} s left")

    def _left(self, seconds: float) -> int:
        return round((self._total - self._done) * seconds / self._mine)

    def say(self, text: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.write(text, file=self._stream)
        else:
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
