"""From lines to records: requests decoded together, wherever the lines come from and the records go."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindcold.batch.body import Body, BodyReader
from mindcold.batch.input_file import Line
from mindcold.batch.response import Choice, error_record, record
from mindcold.batch.runner import Key, Runner
from mindcold.batch.setting import Setting
from mindcold.errors import MindcoldError


@dataclass(slots=True)
class _Pending:
    """A line under way."""

    line: Line
    body: Body
    choices: list[Choice | None]


class Responder:
    """A loaded model that answers lines; what cannot be decoded becomes an error record."""

    def __init__(self, setting: Setting, created: int | None = None):
        """Load the model. `created`, seconds since 1970, is that of all responses; now where it is not given."""
        self.llm, self._max_batch = setting.load(), setting.max_batch
        self._created = int(time.time()) if created is None else created
        models = list(dict.fromkeys([setting.name or setting.model, self.llm.folder.name]))
        self._reader = BodyReader(models, self.llm.adapters, setting.method, setting.options, setting.chat)
        self.runner = Runner(self.llm, setting.max_batch)
        self._pending: dict[int, _Pending] = {}

    def answer(self, lines: Iterator[Line]) -> Iterator[list[dict[str, Any]]]:
        """Records as they are done, those of each step in a list, which may be empty; lines are read as there is room.

        Numbers of lines under way must differ.
        """
        more = True
        while more or self._pending:
            if more:
                refused, more = self._fill(lines)
                yield refused
            yield self._finished(self.runner.step())

    def drop_waiting(self) -> None:
        """Give up the lines none of whose tokens is decided yet."""
        begun = {key[0] for key in self.runner.begun}
        for key in self.runner.drop(lambda key: key[0] not in begun):
            self._pending.pop(key[0], None)

    def close(self) -> None:
        """Give up what is under way and give back what it holds."""
        self.runner.close()
        self._pending.clear()

    def _fill(self, lines: Iterator[Line]) -> tuple[list[dict[str, Any]], bool]:
        """Keep more requests ready than can run: the records of lines that are refused, whether there may be more."""
        refused: list[dict[str, Any]] = []
        while self.runner.unfinished < 2 * self._max_batch and len(refused) < self._max_batch:
            line = next(lines, None)
            if line is None:
                return refused, False
            try:
                self._add(line)
            except MindcoldError as error:
                refused.append(error_record(line, "invalid_request", str(error)))
        return refused, True

    def _add(self, line: Line) -> None:
        """Queue the requests of a line; MindcoldError says what is wrong with it."""
        if line.error is not None:
            raise MindcoldError(line.error)
        reader = self._reader
        body = reader.of_prompt(line.value) if isinstance(line.value, str) else reader.of_line(line.value)
        self._pending[line.number] = _Pending(line, body, [None] * len(body.requests))
        try:
            for i, request in enumerate(body.requests):
                self.runner.add((line.number, i), f"{line.custom_id} choice {i}", request)
        except MindcoldError:
            del self._pending[line.number]
            self.runner.drop(lambda key: key[0] == line.number)
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
                without_text = self.llm.tokenizer is None
                records.append(record(pending.line, pending.body, choices, self._created, without_text))
        return records
