"""Building C++ bodies at first use: one shared library per source, kept in a private cache keyed by content."""

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from mindcold.errors import OperatorError

# -ffp-contract=off keeps a * b + c two roundings, as in the NumPy contracts; nodelete since the threads of the pool run
# code of whichever library came first, which MindSpore closes with the last graph that uses it
FLAGS = (
    *("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-ffp-contract=off"),
    *("-fPIC", "-shared", "-pthread", "-Wl,-z,nodelete"),
)


def cache_folder() -> Path:
    """Where built libraries and converted models are kept: MINDCOLD_CACHE, else the user's cache folder."""
    own = os.environ.get("MINDCOLD_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mindcold"


def flags() -> tuple[str, ...]:
    """What C++ is compiled with; MINDCOLD_AMX=1 adds the bodies for AMX, which were run through an emulator alone.

    OperatorError where it is asked for and the processor has none.
    """
    if os.environ.get("MINDCOLD_AMX", "0") == "0":
        return FLAGS
    if "amx_bf16" not in cpu_flags().split():
        raise OperatorError("MINDCOLD_AMX: this processor has no AMX for bfloat16; unset it")
    return (*FLAGS, "-DMINDCOLD_AMX")


def compiler() -> str | None:
    """Path of g++ (or of $CXX), None where there is none."""
    return shutil.which(os.environ.get("CXX") or "g++")


def unavailable_reason() -> str | None:
    """None where C++ bodies can be built, else the reason why not."""
    if compiler() is None:
        return "g++ was not found; install it (Debian: apt-get install g++) or set CXX"
    return None


@cache
def library(source: Path) -> Path:
    """The shared library of a C++ source, built now if it is not in the cache.

    Its name holds a hash of what it is made of (the source, all headers, the flags, the compiler, the CPU) and the hash
    of its own content, which is compared before it is given out: what is damaged or was put there is built anew. Two
    processes that build at once both write to a file of their own and rename it, so that a reader never sees half a
    library. Raises OperatorError with the compiler's first error, and where other users may write to the cache.
    """
    reason = unavailable_reason()
    if reason:
        raise OperatorError(f"{source.parent.name}: {reason}")
    folder, stem = _library_folder(), f"{source.parent.name}-{_key(source)}"
    try:
        for found in sorted(folder.glob(f"{stem}-*.so")):
            if found.name == _library_name(stem, found):
                return found
            found.unlink(missing_ok=True)
        return _built(source, folder, stem)
    except OSError as error:
        place = error.filename or folder
        raise OperatorError(f"{place}: {error.strerror}; set MINDCOLD_CACHE to another folder") from None


def _library_folder() -> Path:
    """The folder of the libraries, made now if it is missing: what is in it runs, so only its owner may write to it."""
    folder = cache_folder() / "libraries"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder = folder.resolve(strict=True)
        found = folder.stat()
    except OSError as error:
        raise OperatorError(f"{folder}: {error.strerror}; set MINDCOLD_CACHE to a folder to write to") from None
    if os.name == "posix" and (found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise OperatorError(
            f"{folder}: other users may write to it, and what is in it runs; remove it or set MINDCOLD_CACHE"
        )
    return folder


def _library_name(stem: str, content: Path) -> str:
    return f"{stem}-{hashlib.sha256(content.read_bytes()).hexdigest()}.so"


def _built(source: Path, folder: Path, stem: str) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=f"{stem}-", suffix=".partial")
    os.close(handle)
    partial = Path(name)
    try:
        done = subprocess.run(
            [str(compiler()), *flags(), "-o", name, str(source)], capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise OperatorError(f"{source.name}: g++ failed: {errors[0][:300] if errors else done.returncode}")
        return partial.replace(folder / _library_name(stem, partial))
    except subprocess.TimeoutExpired:
        raise OperatorError(f"{source.name}: g++ took more than 300 s") from None
    finally:
        partial.unlink(missing_ok=True)


def _key(source: Path) -> str:
    headers = sorted(source.parent.parent.rglob("*.h"))  # operators are made of one another's
    parts = [path.read_bytes() for path in (source, *headers)]
    version = _version(str(compiler()))
    machine = platform.machine() + cpu_flags()
    return hashlib.sha256(b"\0".join([*parts, " ".join(flags()).encode(), version, machine.encode()])).hexdigest()[:20]


@cache
def _version(program: str) -> bytes:
    return subprocess.run([program, "--version"], capture_output=True, timeout=60).stdout


def cpu_flags() -> str:
    """What -march=native depends on; a cache shared between machines then holds a library for each."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
