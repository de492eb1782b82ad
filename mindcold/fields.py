"""JSON objects read field by field: every refusal is one line that names the file and the field."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mindcold.errors import MindcoldError, ModelError, one_line, shown
from mindcold.files import read_bytes

_LIMIT = 1 << 24  # no dimension of a real model is larger; keeps a corrupt file from allocating the machine
_BYTES = 1 << 24  # nor is any JSON file of one


def read_json(path: str | Path, error: type[MindcoldError] = ModelError, limit: int = _BYTES) -> dict[str, Any]:
    """Parse a JSON object from a file of at most `limit` bytes.

    `error` names the file when it is missing, larger, no file, not JSON or not an object.
    """
    path = Path(path)
    try:
        raw = json.loads(read_bytes(path, error, limit).decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as found:
        raise error(f"{path}: not valid JSON ({one_line(found)})") from None
    if not isinstance(raw, dict):
        raise error(f"{path}: a JSON object is expected, found {type(raw).__name__}")
    return raw


class Fields:
    """Typed reading of the fields of one JSON object; a field that is null counts as missing."""

    def __init__(self, raw: dict[str, Any], where: str, error: type[MindcoldError] = ModelError):
        """`where` names the object in errors, which are of the class `error`."""
        self.raw, self.where, self.error = raw, where, error

    @classmethod
    def of_file(cls, path: str | Path, error: type[MindcoldError] = ModelError, limit: int = _BYTES) -> "Fields":
        """The object a JSON file of at most `limit` bytes holds."""
        return cls(read_json(path, error, limit), str(path), error)

    def fail(self, name: str, why: str) -> MindcoldError:
        """The exception to raise for a field."""
        return self.error(f"{self.where}: {one_line(name, 100)}: {why}")

    def allow(self, names: Iterable[str]) -> None:
        """Refuse a field that is not among these."""
        known = list(names)
        for name in self.raw:
            if name not in known:
                raise self.fail(name, f"not a known field; known are {', '.join(known)}")

    def integer(self, name: str, default: int | None = None, low: int = 1, high: int = _LIMIT) -> int:
        """An integer from `low` to `high`; required without a default."""
        value = self.raw.get(name)
        if value is None:
            if default is None:
                raise self.fail(name, "missing")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(name, f"an integer from {low} to {high} is expected, found {shown(value)}")
        return value

    def number(self, name: str, default: float | None = None, low: float = 0.0, high: float = 1e12) -> float:
        """A number above `low` and up to `high`; required without a default."""
        value = self.raw.get(name)
        if value is None:
            if default is None:
                raise self.fail(name, "missing")
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
            raise self.fail(name, f"a number above {low:g} and up to {high:g} is expected, found {shown(value)}")
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.raw.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fail(name, f"true or false is expected, found {shown(value)}")
        return value

    def text(self, name: str, default: str) -> str:
        """A string."""
        value = self.raw.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fail(name, f"a string is expected, found {shown(value)}")
        return value

    def names(self, name: str) -> list[str] | None:
        """A list of names, or None where the field is missing."""
        value = self.raw.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(name, f"a list of names is expected, found {shown(value)}")
        return value

    def object(self, name: str) -> "Fields":
        """The fields of an inner object; without fields where it is missing."""
        value = self.raw.get(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.fail(name, f"an object is expected, found {shown(value)}")
        return Fields(value, f"{self.where}: {name}", self.error)

    def token_ids(self, name: str, vocab_size: int) -> tuple[int, ...]:
        """Token ids of a field that holds one id, a list of ids or nothing; ids outside the vocabulary are refused."""
        value = self.raw.get(name)
        if value is None:
            return ()
        values = value if isinstance(value, list) else [value]
        for item in values:
            if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item < vocab_size:
                raise self.fail(name, f"{shown(item)} is not a token id below vocab_size {vocab_size}")
        return tuple(values)
