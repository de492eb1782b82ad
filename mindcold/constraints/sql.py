"""SQL that runs, judged by sqlite."""

import re
import sqlite3
import sys

from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.text import TextState
from mindcold.errors import one_line

STEPS = 200_000
"""Virtual machine instructions of sqlite a query may take."""

SCHEMA_STEPS = 100 * STEPS
"""Those each statement of a schema may take, with its data."""

VALUE_BYTES = 1 << 24
"""Bytes of a text or blob, where Python can limit them (3.11 and later)."""

BLANK = re.compile(r"(?:[ \t\n\f\r;]|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
"""What may be in front of a statement: white space, comments, empty statements."""

UNPARSED = ("syntax error", "incomplete input", "unrecognized token", "null character")
"""What sqlite says of text that is no SQL; its other errors are about names, types, rights and time."""


class SqlExecutes:
    """One SQL statement that runs: 1 for one sqlite3 executes on the schema, 1/2 for one it can at least parse, else 0.

    The text as a whole is judged. White space, comments and semicolons around the statement do not count; with more
    statements after it the value is 1/2 if all can be parsed, and with anything else 0. Every evaluation has a database
    of its own in memory, without extensions and without files, and ends after a set number of instructions; so has the
    schema, which may come from a request.
    """

    cumulative = False

    def __init__(self, schema: str = ""):
        self.schema = schema
        try:
            self._database().close()
        except (sqlite3.Error, ValueError) as error:
            raise ConstraintError(f"constraint SqlExecutes: schema: {one_line(error)}") from None

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        return TextState(vocabulary.text("SqlExecutes"), self.score, explain=lambda text: self._run(text)[1])

    def score(self, text: str) -> float:
        """The value of one text: 0, 1/2 or 1."""
        return self._run(text)[0]

    def _database(self) -> sqlite3.Connection:
        """A database of the schema, which cannot do more than is said above."""
        database = sqlite3.connect(":memory:")
        database.text_factory = bytes  # text that is not UTF-8 can be read too
        if sys.version_info >= (3, 11):
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        database.set_authorizer(_authorise)
        try:
            database.set_progress_handler(lambda: 1, SCHEMA_STEPS)
            database.executescript(self.schema)
        except BaseException:
            database.close()
            raise
        database.set_progress_handler(lambda: 1, STEPS)
        return database

    def _run(self, text: str) -> tuple[float, str]:
        """Its value, and what sqlite says of it."""
        database = self._database()
        try:
            statement, rest = first_statement(text)
            if not statement:
                return 0.0, "no statement"
            if not rest:
                database.execute(statement).fetchmany(1)
                return 1.0, ""
            return _parse(database, text)
        except (sqlite3.Error, sqlite3.Warning) as error:
            return 0.0 if _is_unparsed(error) else 0.5, str(error)
        except ValueError:  # what has no UTF-8, or a null character
            return 0.0, "no text"
        finally:
            database.close()


def first_statement(text: str) -> tuple[str, str]:
    """The first statement of a text, and what follows it; both are empty where there is nothing but blanks."""
    text = text[BLANK.match(text).end() :]  # type: ignore[union-attr]  # it matches everything
    for found in re.finditer(";", text):
        if sqlite3.complete_statement(text[: found.end()]):  # a semicolon in a literal, a name or a trigger does not
            rest = text[found.end() :]
            return text[: found.end()], rest[BLANK.match(rest).end() :]  # type: ignore[union-attr]
    return text, ""


def _parse(database: sqlite3.Connection, text: str) -> tuple[float, str]:
    """Value of a text of several statements, none of which is run."""
    statement, rest = first_statement(text)
    while statement:
        try:
            database.execute(f"explain {statement}")
        except (sqlite3.Error, sqlite3.Warning) as error:
            if _is_unparsed(error):
                return 0.0, str(error)
        statement, rest = first_statement(rest)
    return 0.5, "more than one statement"


def _is_unparsed(error: Exception) -> bool:
    return any(sign in str(error) for sign in UNPARSED)


def _authorise(action: int, *_: object) -> int:
    """No other database files."""
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK
