"""The output of a batch job as it grows: records are appended and synchronised, and a job that goes on reads them."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindcold.batch.response import line_number
from mindcold.errors import BatchError
from mindcold.files import obstacle

_BEGINNING = b'{"id": "batch_req_'
"""Of every record."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the record of a line stands."""

    path: Path
    start: int
    size: int
    """Bytes, with the end of the line."""
    failed: bool
    """Whether it is an error record."""


class Journal:
    """A file of records, open for one writer; what a crash left half written is cut off.

    BatchError where the file cannot be written, is no output of a batch job, or has another writer.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            if found := obstacle(path):  # a pipe or a device would be read without end
                raise BatchError(f"{path}: {found}; choose another --output")
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise BatchError(f"{path}: {error.strerror or error}") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.places = places(path)
            self._end = max((place.start + place.size for place in self.places.values()), default=0)
            os.ftruncate(self._handle, self._end)
        except BlockingIOError:
            self.close()
            raise BatchError(f"{path}: another process is writing it; wait for it or choose another --output") from None
        except OSError as error:
            self.close()
            raise BatchError(f"{path}: {error.strerror or error}") from None
        except BatchError:
            self.close()
            raise

    def append(self, records: Sequence[dict[str, Any]]) -> None:
        """Write records and wait until the disk has them; all of them are there, or none is and BatchError says why."""
        content = b"".join(json.dumps(item).encode() + b"\n" for item in records)
        try:
            written = 0
            while written < len(content):
                written += os.write(self._handle, content[written:])
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):  # the next run cuts it off
                os.ftruncate(self._handle, self._end)
            raise BatchError(
                f"{self.path}: {error.strerror or error}; what was written before is safe, run the same command again"
            ) from None
        self._end += len(content)

    def close(self) -> None:
        """Let others write it."""
        os.close(self._handle)


def places(path: Path) -> dict[int, Place]:
    """Where the record of each line stands in a file; a torn end is left out.

    BatchError for a file that is no output of a batch job.
    """
    found: dict[int, Place] = {}
    torn: str | None = None
    for start, number, raw in _lines(path):
        if torn:
            raise BatchError(torn)  # only the end of a file can be torn
        record = _record(raw)
        line = line_number(record)
        if line is None:
            torn = f"{path}: line {number}: not a record of a batch job; choose another --output, or use --restart"
        else:
            assert record is not None
            found.setdefault(line, Place(path, start, len(raw), record.get("error") is not None))
    if torn and not found and not raw.startswith(_BEGINNING[: len(raw)]):
        raise BatchError(torn)
    return found


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Start, number and bytes of each line."""
    try:
        with path.open("rb") as file:
            start = 0
            for number, raw in enumerate(file, 1):
                yield start, number, raw
                start += len(raw)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BatchError(f"{path}: {error.strerror or error}") from None


def _record(raw: bytes) -> dict[str, Any] | None:
    if not raw.endswith(b"\n"):
        return None
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
