"""Files written in one piece: a reader sees the old content or the new, also after a crash."""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from mindcold.errors import MindcoldError, one_line

_MODE = 0o644  # temporary files are private, results are for everyone to read
_FOLDER_MODE = 0o755
_KEPT = 40  # characters of a name in that of its temporary file, which has room for few more


def is_file(path: str | Path, error: type[MindcoldError]) -> bool:
    """Whether there is a file to read; an `error` where something else stands in its place, such as a named pipe."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as found:
        raise error(f"{one_line(path)}: {getattr(found, 'strerror', None) or found}") from None
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "named pipe, socket or device"
        raise error(f"{path}: a {kind}, where a file is expected")
    return True


def read_bytes(path: str | Path, error: type[MindcoldError], limit: int) -> bytes:
    """The content of a file of at most `limit` bytes; an `error` in one line for anything else."""
    if not is_file(path, error):
        raise error(f"{path}: no such file")
    try:
        with Path(path).open("rb") as file:
            content = file.read(limit + 1)
    except OSError as found:
        raise error(f"{path}: {found.strerror or found}") from None
    if len(content) > limit:
        raise error(f"{path}: more than {limit} bytes")
    return content


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """The path of an empty file beside `path`; when the block ends well, what is in it takes the place of `path`.

    File and folder are synchronised with the disk first. When the block raises, `path` stays as it was and nothing is
    left behind. Raises OSError where the folder is missing or cannot be written, and where a folder, a device or
    anything else that is no file is in the way.
    """
    path = Path(path)
    if found := obstacle(path):
        raise FileExistsError(errno.EEXIST, found, str(path))
    handle, name = tempfile.mkstemp(prefix="partial-", suffix=f"-{path.name[:_KEPT]}", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(_MODE)
        _synchronise(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    if os.name == "posix":  # elsewhere folders cannot be opened
        _synchronise(path.parent)


@contextmanager
def new_folder(folder: str | Path, error: type[MindcoldError]) -> Iterator[Path]:
    """An empty folder; when the block ends well, it becomes `folder`, which must not exist yet.

    Files are synchronised with the disk first. When the block raises, nothing is left behind. What exists already or
    cannot be written is an `error` in one line.
    """
    folder = Path(folder)

    def look() -> str | None:
        try:
            folder.lstat()
        except FileNotFoundError:
            return None
        return "exists already; name a new folder"

    if problem := _problem(folder, look):
        raise error(problem)
    try:
        made = _make_parents(folder)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"partial-{folder.name[:_KEPT]}-"))
    except OSError as found:
        raise error(f"{one_line(folder.parent)}: {reason(found)}") from None
    try:
        yield partial
        for path in (partial, *partial.rglob("*")):  # mkdtemp makes it private, MindSpore its files read-only
            path.chmod(_FOLDER_MODE if path.is_dir() else _MODE)
        for path in partial.rglob("*"):
            if path.is_file():
                _synchronise(path)
        partial.rename(folder)
        made = []
    except OSError as found:
        raise error(f"{found.filename or folder}: {reason(found)}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for path in made:
            with suppress(OSError):  # another process has put something there
                path.rmdir()


def _make_parents(folder: Path) -> list[Path]:
    """Make the folders above one; those that are new, the lowest first."""
    new = []
    for path in folder.parents:
        if path.exists():
            break
        new.append(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return new


def check_target(
    path: str | Path, error: type[MindcoldError], what: str, ours: Callable[[Path], bool] = lambda path: False
) -> Path:
    """Refuse, before any work, a path where a file could not be written, or not without a loss: the path.

    Its folder has to be there. Nothing may stand at the path but a file that `ours` knows as one of its kind, which
    `what` names in the message; `error` in one line else. A folder, a device or a pipe is never replaced.
    """
    path = Path(path)

    def look() -> str | None:
        if os.path.lexists(path):
            if found := obstacle(path):
                return f"{found}; not overwritten, name another file"
            if not ours(path):
                return f"is no {what}; not overwritten, name another file"
        folder = path.absolute().parent
        if not path.name or not folder.is_dir():
            return f"{path.parent}: no such folder"
        if not os.access(folder, os.W_OK | os.X_OK):
            return f"{path.parent} cannot be written"
        with suppress(FileNotFoundError):
            path.stat()  # a name the file system has no room for
        return None

    if problem := _problem(path, look):
        raise error(problem)
    return path


def obstacle(path: Path) -> str | None:
    """What stands at a path that is no file, in words; None for a file, or nothing."""
    if not os.path.lexists(path) or path.is_file():
        return None
    if path.is_symlink() and not path.exists():
        return "is a link to nothing"
    return "is a directory" if path.is_dir() else "is a pipe, a socket or a device"


def check_folder(folder: str | Path, error: type[MindcoldError], where: str = "") -> Path:
    """Refuse, before any work, a folder that is not there and cannot be made, or in which nothing can be written.

    The message begins with `where`.
    """
    folder = Path(folder)

    def look() -> str | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            folder.stat()  # a name the file system has no room for
        place = folder.absolute()
        while not os.path.lexists(place):
            place = place.parent
        if not place.is_dir():
            return f"{place} is no folder"
        return None if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written"

    if problem := _problem(folder, look):
        raise error(f"{where}{problem}")
    return folder


def _problem(path: Path, look: Callable[[], str | None]) -> str | None:
    """What `look` or the system has against a path, after the path itself."""
    try:
        found = look()
    except FileNotFoundError:  # of the working folder
        found = "the working folder was removed"
    except (OSError, ValueError) as error:
        found = reason(error)
    return found and f"{one_line(path)}: {found}"


def reason(found: Exception) -> str:
    """Why a file could not be read or written, in a few words."""
    return one_line(getattr(found, "strerror", None) or found)


def _synchronise(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, in one piece."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file, indented by two, in one piece."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_tensors(path: str | Path, tensors: dict[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in one piece; the metadata are HuggingFace's unless others are given."""
    with atomic(path) as partial:
        try:
            save_file(tensors, partial, dict(metadata or {"format": "pt"}))
        except SafetensorError as error:  # of a full disk
            raise OSError(errno.EIO, one_line(error), str(path)) from None
