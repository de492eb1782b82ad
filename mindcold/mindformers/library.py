"""The MindFormers library itself: found, of a known version, and imported without leaving anything about."""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from mindcold.errors import MindcoldError, one_line

KNOWN = ("1.9.", "2.0.")
"""Beginnings of the versions whose interfaces this package was written for; 1.9.0 is the one it is tested with."""

_MODELARTS = ("MA_LOG_DIR", "MA_JOB_DIR", "MA_LOCAL_LOG_PATH", "BATCH_GROUP_NAME")
"""With any of these set MindFormers imports moxing, which exists on ModelArts alone."""

log = logging.getLogger("mindcold.mindformers")


class MindFormersError(MindcoldError, ValueError):
    """MindFormers, or a network of it, cannot be used: missing, another version, a field that cannot be honoured."""


def require() -> ModuleType:
    """The `mindformers` package, imported now if it was not before; MindFormersError where that fails.

    Before its first import its log folder goes to a temporary place instead of `./output`, it is kept from binding the
    process to a part of the cores, and what it prints is dropped; a setting the program has made already stays.
    """
    if "mindformers" in sys.modules:
        return sys.modules["mindformers"]
    try:
        version = importlib.metadata.version("mindformers")
    except importlib.metadata.PackageNotFoundError:
        raise MindFormersError("mindformers is not installed; pip install 'mindcold[mindformers]'") from None
    if not version.startswith(KNOWN):
        raise MindFormersError(f"mindformers {version} is not supported; pip install 'mindformers==1.9.0'")
    place = tempfile.mkdtemp(prefix="mindformers-")
    os.environ.setdefault("LOCAL_DEFAULT_PATH", place)
    os.environ.setdefault("OM_MODULES_CACHE", str(Path(place) / "modules"))
    os.environ.setdefault("CPU_AFFINITY", "False")
    try:
        with _without_moxing(), contextlib.redirect_stdout(io.StringIO()):
            return importlib.import_module("mindformers")
    except ImportError as error:
        raise MindFormersError(f"mindformers {version} cannot be imported: {one_line(error)}") from None


@contextlib.contextmanager
def _without_moxing() -> Iterator[None]:
    """ModelArts' variables out of sight where its own library is not installed."""
    hidden = {}
    if importlib.util.find_spec("moxing") is None:
        hidden = {name: os.environ.pop(name) for name in _MODELARTS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)
