"""Files written in one piece: a reader sees the old content or the new, also after a crash."""

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from mindcold.errors import MindcoldError, one_line

_MODE = 0o644  # temporary files are private, results are for everyone to read
_FOLDER_MODE = 0o755


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
    left behind. Raises OSError where the folder is missing or cannot be written.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix="partial-", suffix=f"-{path.name}", dir=path.parent)
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
    if folder.exists() or folder.is_symlink():
        raise error(f"{folder}: exists already; name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"partial-{folder.name}-"))
    except OSError as found:
        raise error(f"{folder.parent}: {found.strerror}") from None
    try:
        yield partial
        for path in (partial, *partial.rglob("*")):  # mkdtemp makes it private, MindSpore its files read-only
            path.chmod(_FOLDER_MODE if path.is_dir() else _MODE)
        for path in partial.rglob("*"):
            if path.is_file():
                _synchronise(path)
        partial.rename(folder)
    except OSError as found:
        raise error(f"{found.filename or folder}: {found.strerror or found}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
        save_file(tensors, partial, dict(metadata or {"format": "pt"}))
