"""The files of one job's output: the output itself, and beside it a part per process until all is done."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from mindcold.batch.journal import Journal, Place, places
from mindcold.errors import BatchError
from mindcold.files import atomic
from mindcold.jobs.rank import Rank


class Parts:
    """The files of the job that writes to `output`."""

    def __init__(self, output: Path):
        self.output = output

    @property
    def manifest(self) -> Path:
        """Says what job it is."""
        return self.output.with_name(f"{self.output.name}.manifest.json")

    def own(self, rank: Rank) -> Path:
        """What a process writes to: the output itself where there is just one."""
        return self.output if rank.size == 1 else self.output.with_name(f"{self.output.name}.part-{rank.number:05d}")

    @property
    def files(self) -> list[Path]:
        """All files with records."""
        found = self.output.parent.glob(f"{_literal(self.output.name)}.part-*")
        return [path for path in (self.output, *sorted(found)) if path.is_file()]

    def done(self) -> dict[int, Place]:
        """Where the record of each line stands."""
        found: dict[int, Place] = {}
        for path in self.files:
            for number, place in places(path).items():
                found.setdefault(number, place)
        return found

    def clear(self) -> None:
        """Forget the job; BatchError while a process writes to it."""
        files = self.files
        with ExitStack() as locked:
            for path in files:
                locked.enter_context(closing(Journal(path)))
            for path in [*files, self.manifest]:
                path.unlink(missing_ok=True)

    def merge(self, lines: Iterable[int]) -> bool:
        """Join the parts, if there are any, in the order of the input; False while records are missing."""
        with self.locked():
            if self.files == [self.output]:
                return True
            done, numbers = self.done(), list(lines)
            if any(number not in done for number in numbers):
                return False
            try:
                with atomic(self.output) as partial:
                    _copy([done[number] for number in numbers], partial)
            except OSError as error:
                raise BatchError(f"{self.output}: {error.strerror or error}; the parts stay as they are") from None
            for path in self.files:
                if path != self.output:
                    path.unlink(missing_ok=True)
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time: the first begins the job, the last joins the parts."""
        try:
            handle = os.open(self.output.parent, os.O_RDONLY)
        except OSError as error:
            raise BatchError(f"{self.output.parent}: {error.strerror or error}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _copy(found: list[Place], target: Path) -> None:
    """Records one after the other."""
    files = {path: path.open("rb") for path in {place.path for place in found}}
    try:
        with target.open("wb") as out:
            for place in found:
                files[place.path].seek(place.start)
                out.write(files[place.path].read(place.size))
    finally:
        for file in files.values():
            file.close()


def _literal(name: str) -> str:
    """A file name without meaning to `glob`."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
