"""The input of a batch job: OpenAI batch lines or plain prompts, read line by line in bounded memory."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindcold.errors import BatchError, one_line
from mindcold.files import obstacle, reason
from mindcold.text_files import parse_json

MAX_LINE = 8 << 20
"""Bytes of a line; longer ones are read past and refused."""

FORMATS = ("auto", "openai", "text")


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank."""

    number: int
    """From 1, as editors count."""
    value: Any = None
    """The JSON object, or the prompt of a text file; None for a line that cannot be read."""
    error: str | None = None
    """What is wrong with it."""

    @property
    def custom_id(self) -> str | None:
        """What the user calls it; None where a line does not say."""
        if isinstance(self.value, str):
            return f"line-{self.number}"
        found = self.value.get("custom_id") if isinstance(self.value, dict) else None
        return found if isinstance(found, str) else None


def parse_line(number: int, raw: bytes, form: str) -> Line:
    """A line from its bytes, without its end; `form` is "openai" or "text". What cannot be read has an error."""
    if len(raw) > MAX_LINE:
        return Line(number, error=f"longer than {MAX_LINE >> 20} MB")
    try:
        text = raw.decode("utf-8")
        value = parse_json(text) if form == "openai" else text
    except UnicodeDecodeError as error:
        return Line(number, error=f"not UTF-8 at byte {error.start}")
    except ValueError as error:
        return Line(number, error=str(error))
    if form == "openai" and not isinstance(value, dict):
        return Line(number, error=f"a JSON object is expected, found {type(value).__name__}")
    return Line(number, value)


class InputFile:
    """A file of requests; BatchError where it cannot be read."""

    def __init__(self, path: str | Path, form: str = "auto"):
        """`form` is "openai" (JSON lines), "text" (a prompt a line), or "auto": JSON if the file begins with {."""
        self.path = Path(path)
        try:
            if found := obstacle(self.path):  # it is read twice, line by line
                raise BatchError(f"{path}: {found}")
            with self.path.open("rb") as file:
                digest, first = hashlib.sha256(), b""
                while piece := file.read(1 << 20):
                    first = first or piece.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
                    digest.update(piece)
        except OSError as error:
            raise BatchError(f"{one_line(path)}: {reason(error)}") from None
        if not first:
            raise BatchError(f"{path}: empty; one request a line is expected")
        self.sha256 = digest.hexdigest()
        self.form = form if form != "auto" else "openai" if first == b"{" else "text"

    def lines(self) -> Iterator[Line]:
        """The lines that are not blank, those that cannot be read among them; a repeated custom_id is an error."""
        seen = set[bytes]()
        for line in self._read():
            name = line.custom_id
            if name is not None:
                key = hashlib.blake2b(name.encode(), digest_size=16).digest()  # of a million lines, memory for the keys
                if key in seen:
                    line = Line(line.number, line.value, f"custom_id: {name[:80]!r} was used on a line before")
                seen.add(key)
            yield line

    def _read(self) -> Iterator[Line]:
        number = 0
        try:
            with self.path.open("rb") as file:
                while raw := file.readline(MAX_LINE + 1):
                    number += 1
                    if len(raw) > MAX_LINE:
                        yield parse_line(number, raw, self.form)
                        while raw and not raw.endswith(b"\n"):
                            raw = file.readline(MAX_LINE)
                    else:
                        raw = (raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw).rstrip(b"\r\n")
                        if raw.strip():
                            yield parse_line(number, raw, self.form)
        except OSError as error:
            raise BatchError(f"{self.path}: line {number + 1}: {error.strerror or error}") from None
