"""Lines of data files, with errors that name the file, the line and the field."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindcold.tasks.task import TaskError
from mindcold.text_files import parse_json, read_lines


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a file and where it stands."""

    where: str
    """File and line, as it begins an error message."""
    value: Any

    def fail(self, why: str) -> TaskError:
        """The error for this line, to be raised."""
        return TaskError(f"{self.where}: {why}")

    def text(self, name: str, default: str | None = None) -> str:
        """A string field that is not empty; `default` where it is missing."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        if found is None and default is not None:
            return default
        if not isinstance(found, str) or not found.strip():
            raise self.fail(f"{name}: a non-empty string is expected, found {str(found)[:60]!r}")
        return found

    def strings(self, name: str) -> list[str]:
        """A field that is a string or a list of strings, not empty."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not found or not all(isinstance(i, str) and i.strip() for i in found):
            raise self.fail(f"{name}: a string or a list of strings is expected, found {str(found)[:60]!r}")
        return found


def text_lines(path: Path) -> Iterator[Line]:
    """The lines of a text file that are not blank."""
    for number, line in read_lines(path, TaskError):
        if line.strip():
            yield Line(f"{path}: line {number}", line)


def json_lines(path: Path) -> Iterator[Line]:
    """The values of a JSON Lines file."""
    for line in text_lines(path):
        try:
            yield Line(line.where, parse_json(line.value))
        except ValueError as error:
            raise line.fail(str(error)) from None


def csv_lines(path: Path, columns: tuple[str, ...]) -> Iterator[Line]:
    """The rows of a CSV file with a header, as dictionaries; these columns have to be there."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise TaskError(f"{path}: line 1: {min(missing)}: no such column; {', '.join(columns)} are expected")
            for row in reader:
                yield Line(f"{path}: line {reader.line_num}", row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
