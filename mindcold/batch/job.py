"""A batch job: lines of the input through the runner, a record on the disk for each of them, until all are done."""

import time
from collections.abc import Callable, Container, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mindcold.batch.body import Body, BodyReader
from mindcold.batch.input_file import InputFile, Line
from mindcold.batch.journal import Journal
from mindcold.batch.progress import Progress
from mindcold.batch.response import Choice, error_record, record
from mindcold.batch.runner import Key, Runner
from mindcold.batch.stop import GRACE, StopSignal
from mindcold.errors import MindcoldError

if TYPE_CHECKING:
    from mindcold.llm import LLM


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

    @property
    def tokens_per_second(self) -> float:
        """New tokens of this run in a second."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"tokens_per_second": round(self.tokens_per_second, 3)}


@dataclass(slots=True)
class _Pending:
    """A line under way."""

    line: Line
    body: Body
    choices: list[Choice | None]


class Job:
    """The lines of one process, decoded together and written as they are done."""

    def __init__(self, llm: "LLM", reader: BodyReader, created: int, journal: Journal, max_batch: int):
        self._llm, self._reader, self._created, self._journal = llm, reader, created, journal
        self._max_batch = max_batch
        self._runner = Runner(llm, max_batch)
        self._pending: dict[int, _Pending] = {}

    def run(self, lines: Iterator[Line], progress: Progress, summary: Summary, stop: StopSignal) -> None:
        """Do lines until none is left or a signal comes; `summary` is kept up to date.

        After a signal what has begun is given ten seconds to end. Raises BatchError where the output cannot be
        written; all that was written before is on the disk.
        """
        began, runner = time.monotonic(), self._runner
        try:
            more = True
            while more or runner.unfinished:
                if stop.received:
                    self._drop_waiting()
                    if not runner.unfinished or stop.seconds > GRACE:
                        break
                elif more:
                    more = self._fill(lines, summary)
                self._write(self._finished(runner.step()), summary)
                summary.tokens, summary.drafted, summary.accepted = runner.tokens, runner.drafted, runner.accepted
                progress.update(summary.done, runner.tokens, runner.drafted, runner.accepted)
            summary.stopped = summary.done < summary.total
        finally:
            summary.seconds = round(time.monotonic() - began, 3)
            summary.steps, summary.idle_steps = runner.scheduler.steps, runner.scheduler.idle_steps
            runner.close()

    def _fill(self, lines: Iterator[Line], summary: Summary) -> bool:
        """Keep more requests ready than can run; whether there may be more lines."""
        refused: list[dict[str, Any]] = []
        while self._runner.unfinished < 2 * self._max_batch and len(refused) < self._max_batch:
            line = next(lines, None)
            if line is None:
                self._write(refused, summary)
                return False
            try:
                self._add(line)
            except MindcoldError as error:
                refused.append(error_record(line, "invalid_request", str(error)))
        self._write(refused, summary)
        return True

    def _add(self, line: Line) -> None:
        """Queue the requests of a line; MindcoldError says what is wrong with it."""
        if line.error is not None:
            raise MindcoldError(line.error)
        reader = self._reader
        body = reader.of_prompt(line.value) if isinstance(line.value, str) else reader.of_line(line.value)
        self._pending[line.number] = _Pending(line, body, [None] * len(body.requests))
        try:
            for i, request in enumerate(body.requests):
                self._runner.add((line.number, i), f"{line.custom_id} choice {i}", request)
        except MindcoldError:
            del self._pending[line.number]
            self._runner.drop(lambda key: key[0] == line.number)
            raise

    def _finished(self, found: list[tuple[Key, Choice]]) -> list[dict[str, Any]]:
        """The records of the lines all of whose choices are done with these."""
        records = []
        for (number, i), choice in found:
            pending = self._pending[number]
            pending.choices[i] = choice
            if None not in pending.choices:
                del self._pending[number]
                choices = [item for item in pending.choices if item]
                without_text = self._llm.tokenizer is None
                records.append(record(pending.line, pending.body, choices, self._created, without_text))
        return records

    def _write(self, records: list[dict[str, Any]], summary: Summary) -> None:
        if records:
            self._journal.append(records)
            summary.done += len(records)
            summary.failed += sum(item["error"] is not None for item in records)

    def _drop_waiting(self) -> None:
        """Give up the lines none of whose tokens is decided yet."""
        begun = {key[0] for key in self._runner.begun}
        for key in self._runner.drop(lambda key: key[0] not in begun):
            self._pending.pop(key[0], None)


def share(source: InputFile, done: Container[int], owns: Callable[[int], bool]) -> tuple[list[int], Iterator[Line]]:
    """Numbers of the lines in a share, and those among them that are not done, read as they are needed."""
    numbers = [line.number for line in source.lines() if owns(line.number)]
    return numbers, (line for line in source.lines() if owns(line.number) and line.number not in done)
