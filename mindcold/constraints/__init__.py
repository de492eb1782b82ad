"""What must hold of a generation: constraints and rewards, as state that goes along with its tokens."""

from mindcold.constraints.constraint import (
    Constraint,
    ConstraintError,
    State,
    TextState,
    Vocabulary,
    Watched,
    as_constraint,
)
from mindcold.constraints.harmless import Harmless
from mindcold.constraints.keywords import Forbidden, Keywords
from mindcold.constraints.regex import Json, Regex
from mindcold.constraints.rewards import SqlExecutes, TextReward

__all__ = [
    "Constraint",
    "ConstraintError",
    "Forbidden",
    "Harmless",
    "Json",
    "Keywords",
    "Regex",
    "SqlExecutes",
    "State",
    "TextReward",
    "TextState",
    "Vocabulary",
    "Watched",
    "as_constraint",
]
