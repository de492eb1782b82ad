"""What callers give as numbers, flags, texts and lists, as plain Python values; None for what is not plainly one.

NumPy scalars and arrays without dimensions are the value they hold, as are tensors. Truth values are no numbers, text
and bytes are no lists.
"""

import math
import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mindcold.errors import MindcoldError, RequestError, shown

LARGEST = 2**63 - 1
"""No integer is larger: 64 bits, as the libraries below have them."""

_Item = TypeVar("_Item")


def plain(value: Any) -> Any:
    """The Python value that a NumPy scalar or an array without dimensions holds; any other value as it is."""
    try:
        bare = getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None))
        return value.item() if bare and not isinstance(value, np.timedelta64) else value
    except Exception:  # of an object that is not what it looks like
        return value


def is_whole(value: Any) -> bool:
    """Whether this is one integer (or truth value) rather than a list or a text."""
    return isinstance(plain(value), Integral)


def integer(value: Any) -> int | None:
    """The integer that a value is, up to LARGEST."""
    value = plain(value)
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, Integral):
        return None
    found = int(value)
    return found if abs(found) <= LARGEST else None


def number(value: Any) -> float | None:
    """The finite number that a value is: an integer, a float, a Decimal or a Fraction."""
    value = plain(value)
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (Real, Decimal)):
        return None
    try:
        found = float(value)
    except (OverflowError, ValueError):
        return None
    return found if math.isfinite(found) else None


def flag(value: Any) -> bool | None:
    """True or false; 1 and 0 say so too."""
    value = plain(value)
    return bool(value) if isinstance(value, int) and value in (0, 1) else None


def text(value: Any) -> str | None:
    """The text that a value is; half of a surrogate pair is none."""
    value = plain(value)
    return str(value) if isinstance(value, str) and is_text(value) else None


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def items(value: Any, kind: Callable[[Any], _Item | None]) -> list[_Item] | None:
    """The items of a list, a tuple or an array of one dimension, each of this kind."""
    if getattr(value, "ndim", None) == 1 and callable(getattr(value, "tolist", None)):
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
        return None
    found = []
    for item in value:
        one = kind(item)
        if one is None:
            return None
        found.append(one)
    return found


def integers(value: Any) -> list[int] | None:
    """Integers of a sequence."""
    return items(value, integer)


def integer_or_integers(value: Any) -> int | list[int] | None:
    """An integer, or those of a sequence."""
    one = integer(value)
    return integers(value) if one is None else one


def lists_of_integers(value: Any) -> list[list[int]] | None:
    """Sequences of integers, or the rows of an array."""
    if getattr(value, "ndim", None) == 2:
        value = list(value)
    return items(value, integers)


def texts(value: Any) -> str | list[str] | None:
    """A text that is not empty, or those of a sequence."""

    def whole(one: Any) -> str | None:
        return text(one) or None

    return whole(value) or items(value, whole)


def integer_of(name: str, value: Any, low: int, high: int) -> int:
    """The integer of an argument, from `low` to `high`; RequestError names it."""
    found = integer(value)
    if found is None or not low <= found <= high:
        raise RequestError(f"{name}: an integer from {low} to {high} is expected, found {shown(value)}")
    return found


def path(name: str, value: Any, error: type[MindcoldError]) -> Path:
    """The path a caller gives as text or as a path; `error` that begins with `name` for what is none."""
    if not isinstance(value, (str, os.PathLike)):
        raise error(f"{name}: a path is expected, found {shown(value)}")
    found = os.fspath(value)
    if not isinstance(found, str) or not found or "\0" in found:
        raise error(f"{name}: a path is expected, found {shown(found)}")
    return Path(found)
