"""A batch job: lines of the input through the runner, a record on the disk for each of them, until all are done."""

import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any

from mindcold.batch.input_file import InputFile, Line
from mindcold.batch.journal import Journal
from mindcold.batch.progress import Progress
from mindcold.batch.responder import Responder
from mindcold.jobs.stop import GRACE, StopSignal


@dataclass(slots=True)
class Summary:
    """What became of the lines of a job in the share of this process."""

    total: int
    done: int = 0
    """Lines with a record, those of earlier runs among them."""
    failed: int = 0
    """Error records among them."""
    tokens: int = 0
    """New tokens of this run."""
    drafted: int = 0
    accepted: int = 0
    steps: int = 0
    """Steps of the model."""
    idle_steps: int = 0
    """Steps with fewer requests than fit, though more were waiting."""
    seconds: float = 0.0
    stopped: bool = False
    """Whether a signal ended it before all was done."""

    def count(self, records: Sequence[dict[str, Any]]) -> None:
        """Note records that were written."""
        self.done += len(records)
        self.failed += sum(item["error"] is not None for item in records)

    @property
    def tokens_per_second(self) -> float:
        """New tokens of this run in a second."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"tokens_per_second": round(self.tokens_per_second, 3)}


class Job:
    """The lines of one process, decoded together and written as they are done."""

    def __init__(self, responder: Responder, journal: Journal):
        self._responder, self._journal = responder, journal

    def run(self, lines: Iterator[Line], progress: Progress, summary: Summary, stop: StopSignal) -> None:
        """Do lines until none is left or a signal comes; `summary` is kept up to date.

        After a signal what has begun is given ten seconds to end. Raises BatchError where the output cannot be
        written; all that was written before is on the disk.
        """
        began, responder, runner = time.monotonic(), self._responder, self._responder.runner
        try:
            for records in responder.answer(takewhile(lambda _: not stop.received, lines)):
                self._write(records, summary)
                summary.tokens, summary.drafted, summary.accepted = runner.tokens, runner.drafted, runner.accepted
                progress.update(summary.done, runner.tokens, runner.drafted, runner.accepted)
                if stop.received:
                    responder.drop_waiting()
                    if stop.seconds > GRACE:
                        break
            summary.stopped = summary.done < summary.total
        finally:
            summary.seconds = round(time.monotonic() - began, 3)
            summary.steps, summary.idle_steps = runner.scheduler.steps, runner.scheduler.idle_steps
            responder.close()

    def _write(self, records: list[dict[str, Any]], summary: Summary) -> None:
        if records:
            self._journal.append(records)
            summary.count(records)


def share(source: InputFile, done: Container[int], owns: Callable[[int], bool]) -> tuple[list[int], Iterator[Line]]:
    """Numbers of the lines in a share, and those among them that are not done, read as they are needed."""
    numbers = [line.number for line in source.lines() if owns(line.number)]
    return numbers, (line for line in source.lines() if owns(line.number) and line.number not in done)
