"""What must hold of a generation: constraints and rewards, as state that goes along with its tokens."""

from mindcold.constraints.guard import ConstraintSet
from mindcold.constraints.items import OneOf
from mindcold.constraints.keywords import Forbidden, Keywords
from mindcold.constraints.parse import parse_constraint
from mindcold.constraints.protocol import Constraint, ConstraintError, State, Vocabulary
from mindcold.constraints.python_passes import PythonPasses
from mindcold.constraints.regex import Json, Regex
from mindcold.constraints.rewards import TextReward
from mindcold.constraints.sql import SqlExecutes
from mindcold.constraints.text import BatchedTextState, TextState

__all__ = [
    "BatchedTextState",
    "Constraint",
    "ConstraintError",
    "ConstraintSet",
    "Forbidden",
    "Json",
    "Keywords",
    "OneOf",
    "PythonPasses",
    "Regex",
    "SqlExecutes",
    "State",
    "TextReward",
    "TextState",
    "Vocabulary",
    "parse_constraint",
]
