"""How a job gets on: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

EVERY = 10.0
"""Seconds between lines."""


class Progress:
    """Requests that are done, tokens a second, accepted drafts and the time that is left, on stderr."""

    def __init__(self, total: int, done: int, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self._total, self._before, self._done = total, done, done
        self._began = self._said = time.monotonic()
        self._bar = None
        if self._stream.isatty():
            self._bar = tqdm(total=total, initial=done, unit="request", file=self._stream)

    def update(self, done: int, tokens: int, drafted: int, accepted: int) -> None:
        """Tell requests that are done, and tokens and drafts of this run so far."""
        now, fresh = time.monotonic(), done - self._done
        self._done = done
        seconds = max(now - self._began, 1e-9)
        drafts = f", {accepted / drafted:.0%} of drafts accepted" if drafted else ""
        if self._bar is not None:
            self._bar.set_postfix_str(f"{tokens / seconds:.0f} tokens/s{drafts}", refresh=False)
            self._bar.update(fresh)
        elif now - self._said >= EVERY:
            self._said = now
            mine = done - self._before
            left = f", {(self._total - done) * seconds / mine:.0f} s left" if mine else ""
            self._stream.write(
                f"{done} of {self._total} requests, {tokens / seconds:.0f} tokens/s{drafts}{left}\n",
            )
            self._stream.flush()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
