"""Files of text and of JSON lines: UTF-8, a line ends at "\\n" and nowhere else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindcold.errors import MindcoldError, one_line
from mindcold.files import reason
from mindcold.values import is_text

_MARK = b"\xef\xbb\xbf"  # of the order of bytes, which some editors put in front


def read_text(path: str | Path, error: type[MindcoldError]) -> str:
    """The text of a file; `error` names the file, and the line that is not UTF-8."""
    return "\n".join(line for _, line in _lines(Path(path), error))


def read_lines(path: str | Path, error: type[MindcoldError]) -> Iterator[tuple[int, str]]:
    """Number, from 1, and text of every line of a file without its end, "\\n" or "\\r\\n"; `error` as for `read_text`.

    What else Unicode counts as a line break (U+2028, U+0085, a lone "\\r") is part of a line.
    """
    for number, line in _lines(Path(path), error):
        yield number, line.removesuffix("\r")


def parse_json(text: str) -> Any:
    """The value of a JSON text; ValueError, in one line, for what is none, too deep, or half of a surrogate pair."""
    try:
        value = json.loads(text)
        sound = is_text(json.dumps(value, ensure_ascii=False)) if "\\u" in text else True
    except RecursionError:
        raise ValueError("not valid JSON (nested too deep)") from None
    except ValueError as error:
        raise ValueError(f"not valid JSON ({one_line(error, 100)})") from None
    if not sound:
        raise ValueError("half of a surrogate pair is no text")
    return value


def _lines(path: Path, error: type[MindcoldError]) -> Iterator[tuple[int, str]]:
    try:
        if path.is_char_device() or path.is_block_device():  # which may never end
            raise error(f"{path}: is a device")
        content = path.read_bytes()
    except OSError as found:
        raise error(f"{one_line(path)}: {reason(found)}") from None
    for number, line in enumerate(content.removeprefix(_MARK).split(b"\n"), 1):
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError:
            raise error(f"{path}: line {number}: not UTF-8") from None
