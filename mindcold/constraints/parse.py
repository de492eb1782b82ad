"""What users give as `constraint=`, as constraints."""

from typing import Any

from mindcold.constraints.keywords import Keywords
from mindcold.constraints.protocol import Constraint
from mindcold.constraints.rewards import TextReward
from mindcold.errors import RequestError


def parse_constraint(given: Any) -> list[Constraint]:
    """None, a constraint, a list of keywords, a function of text, or a list of these, as a list of constraints."""
    if given is None:
        return []
    if isinstance(given, type):
        raise RequestError(f"constraint: {given.__name__} is a class; give an object of it")
    if isinstance(given, Constraint):
        return [given]
    if isinstance(given, (list, tuple)) and all(isinstance(item, str) for item in given):
        return [Keywords(given)]
    if isinstance(given, (list, tuple)):
        return [item for part in given for item in parse_constraint(part)]
    if callable(given):
        return [TextReward(given)]
    raise RequestError(f"constraint: a constraint, keywords or a function of text is expected, found {given!r:.80}")
