"""Standard input and output of a command: closed, full, and in any encoding."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mindcold.errors import RequestError


class _Closed(io.TextIOBase):
    """A standard output that was closed: what is printed is lost, and that is said."""

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "closed", "standard output")


@contextmanager
def sound() -> Iterator[None]:
    """A block that can print any text, with replacement characters where the encoding lacks some.

    Descriptors that were closed lead nowhere, so that no file a command opens is taken for one of them.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the rest of the process
    if sys.stdout is None:
        sys.stdout = _Closed()
    change = getattr(sys.stdout, "reconfigure", None)
    if change is None:
        yield
        return
    before = sys.stdout.errors
    change(errors="replace")
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            change(errors=before)


def flush() -> None:
    """Hand over what was printed; OSError names the standard output where it takes nothing."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


def give_up() -> None:
    """Let what cannot be printed be, instead of it being tried again when the process ends."""
    try:
        flush()
    except OSError:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)


def as_typed(text: str) -> str:
    """The text of an argument, which is UTF-8 whatever the locale took it for; what is not stays as it is."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text


def read_input() -> str:
    """All of the standard input, UTF-8 in any locale; RequestError where it is closed or something else."""
    if sys.stdin is None or sys.stdin.closed:
        raise RequestError("prompt: the standard input is closed")
    try:
        content = getattr(sys.stdin, "buffer", sys.stdin).read()
        return content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise RequestError(f"prompt: the standard input is not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise RequestError(f"prompt: the standard input cannot be read ({error.strerror or error})") from None
