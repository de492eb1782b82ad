"""Rewards: any function of the text, and SQL that runs."""

import sqlite3
from collections.abc import Callable
from typing import Any

from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.text import BatchedTextState, TextState
from mindcold.errors import one_line

STEPS = 200_000
"""Virtual machine instructions of sqlite a query may take."""


class TextReward:
    """A function from the text so far to [0, 1], such as a classifier's probability that it is harmless.

    With `batched` it takes a list of texts and gives a list of values: all candidates of a lookahead at once.
    """

    cumulative = False

    def __init__(self, function: Callable[..., Any], batched: bool = False):
        self.function, self.batched = function, batched

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        kind = BatchedTextState if self.batched else TextState
        return kind(vocabulary.text("TextReward"), self.function)


class SqlExecutes:
    """SQL that runs: 1 for a statement sqlite3 executes on the schema, 1/2 for one it can at least parse, else 0.

    Every evaluation has a database of its own in memory, without extensions and without files, and ends after a set
    number of instructions.
    """

    cumulative = False

    def __init__(self, schema: str = ""):
        self.schema = schema
        try:
            with sqlite3.connect(":memory:") as database:
                database.executescript(schema)
        except sqlite3.Error as error:
            raise ConstraintError(f"constraint SqlExecutes: schema: {one_line(error)}") from None

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty statement."""
        return TextState(vocabulary.text("SqlExecutes"), self.score, explain=lambda text: self._run(text)[1])

    def score(self, text: str) -> float:
        """What one text is worth."""
        return self._run(text)[0]

    def _run(self, text: str) -> tuple[float, str]:
        """Its value, and what sqlite says of it."""
        statement = text.strip().split(";")[0]
        if not statement:
            return 0.0, "no statement"
        database = sqlite3.connect(":memory:")
        try:
            database.executescript(self.schema)
            database.set_authorizer(_authorise)
            database.set_progress_handler(lambda: 1, STEPS)
            database.execute(statement).fetchmany(1)
            return 1.0, ""
        except sqlite3.Error as error:
            return 0.0 if "syntax error" in str(error) or "incomplete" in str(error) else 0.5, str(error)
        finally:
            database.close()


def _authorise(action: int, *_: object) -> int:
    """No other database files."""
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK
