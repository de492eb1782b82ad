"""What users give as `constraint=`, as constraints."""

from collections.abc import Callable, Mapping
from typing import Any

from mindcold.constraints.items import OneOf
from mindcold.constraints.keywords import Forbidden, Keywords
from mindcold.constraints.protocol import Constraint
from mindcold.constraints.regex import Json, Regex
from mindcold.constraints.rewards import TextReward
from mindcold.constraints.sql import SqlExecutes
from mindcold.errors import RequestError, shown

PLAIN: dict[str, tuple[Callable[[Any], Constraint], type | tuple[type, ...], str]] = {
    "keywords": (Keywords, list, "a list of words"),
    "forbidden": (Forbidden, list, "a list of phrases"),
    "regex": (Regex, str, "a regular expression"),
    "json_schema": (Json, (str, dict), "a JSON schema"),
    "choice": (OneOf, list, "a list of texts"),
    "sql": (SqlExecutes, str, "the schema of a database"),
}
"""Constraints by the name they have in plain data, with the type of their value and what it is; what executes Python
has none."""


def parse_constraint(given: Any) -> list[Constraint]:
    """None, a constraint, a list of keywords, a function of text, or a list of these, as a list of constraints.

    Plain data, as in JSON, is a dictionary such as {"regex": "[0-9]+"} or {"keywords": ["king"]}.
    """
    try:
        return _parsed(given)
    except RecursionError:
        raise RequestError("constraint: nested too deep") from None


def _parsed(given: Any) -> list[Constraint]:
    if given is None:
        return []
    if isinstance(given, type):
        raise RequestError(f"constraint: {given.__name__} is a class; give an object of it")
    if isinstance(given, Constraint):
        return [given]
    if isinstance(given, (list, tuple)) and all(isinstance(item, str) for item in given):
        return [Keywords(given)]
    if isinstance(given, (list, tuple)):
        return [item for part in given for item in _parsed(part)]
    if isinstance(given, Mapping):
        return [_of_plain(name, value) for name, value in given.items()]
    if callable(given):
        return [TextReward(given)]
    raise RequestError(f"constraint: a constraint, keywords or a function of text is expected, found {shown(given)}")


def _of_plain(name: Any, value: Any) -> Constraint:
    if not isinstance(name, str) or name not in PLAIN:
        raise RequestError(f"constraint: {str(name)[:60]!r} is not one of {', '.join(PLAIN)}")
    make, kind, what = PLAIN[name]
    if not isinstance(value, kind):
        raise RequestError(f"constraint: {name}: {what} is expected, found {shown(value)}")
    return make(value)
