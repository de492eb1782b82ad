"""Regular expressions that come with an adapter, matched by `re` as in PEFT, but in bounded time."""

import re
import time
from collections.abc import Sequence
from typing import Any

from mindcold.errors import one_line, shown
from mindcold.fields import Fields
from mindcold.isolated import TaskError, call, expressions

SECONDS = 5.0
"""What all matches of an adapter may take."""

LENGTH = 1000
"""Characters of an expression at most."""

_PLAIN = re.compile(r"[\w.\\-]*", re.ASCII)
"""Expressions without repetition and choice, which can be matched right here: most are names or paths."""


class Patterns:
    """The expressions of one adapter_config.json against the modules of a model; errors name the field."""

    def __init__(self, fields: Fields, modules: Sequence[str]):
        self._fields, self._modules, self._left = fields, list(modules), SECONDS
        self._found: dict[tuple[str, str], dict[str, tuple[bool, str | None]]] = {}

    def selects(self, name: str, pattern: Any, module: str, form: str = "{}") -> bool:
        """Whether field `name`'s pattern, put into `form`, matches a whole module path."""
        return self._match(name, pattern, form)[module][0]

    def layer(self, name: str, pattern: Any, module: str, form: str) -> tuple[bool, str | None]:
        """The same, and the text of the group `layer` of the form."""
        return self._match(name, pattern, form)[module]

    def _match(self, name: str, pattern: Any, form: str) -> dict[str, tuple[bool, str | None]]:
        """What becomes of all modules, looked for once."""
        if not isinstance(pattern, str) or len(pattern) > LENGTH:
            raise self._fields.fail(
                name, f"a regular expression of up to {LENGTH} characters is expected, found {shown(pattern, 50)}"
            )
        if (form, pattern) not in self._found:
            began = time.monotonic()
            try:
                found = self._matches(form, pattern)
            except (TaskError, re.error, ValueError, OverflowError) as error:
                what = "" if isinstance(error, TaskError) and error.limit else "is not a regular expression: "
                raise self._fields.fail(name, f"{shown(pattern, 50)} {what}{one_line(error)}") from None
            self._found[form, pattern] = dict(zip(self._modules, found, strict=True))
            self._left -= time.monotonic() - began
        return self._found[form, pattern]

    def _matches(self, form: str, pattern: str) -> list[Any]:
        if _PLAIN.fullmatch(pattern):
            return expressions.matches(form, pattern, self._modules)
        return call("expressions", "matches", form, pattern, self._modules, seconds=round(max(self._left, 0.1), 1))
