"""SQL text judged by sqlite, in a database in memory; called in the bounded process."""

import re
import sqlite3
import sys

STEPS = 200_000
"""Virtual machine instructions of sqlite a query may take."""

SCHEMA_STEPS = 100 * STEPS
"""Those that all statements of a schema may take together."""

VALUE_BYTES = 1 << 24
"""Bytes of a text or blob, where Python can limit them (3.11 and later)."""

BLANK = re.compile(r"(?:[ \t\n\f\r;]|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
"""What may be in front of a statement: white space, comments, empty statements."""

UNPARSED = ("syntax error", "incomplete input", "unrecognized token", "null character")
"""What sqlite says of text that is no SQL; its other errors are about names, types, rights and time."""


def check(schema: str) -> None:
    """Run a schema; sqlite's error is raised."""
    _open(schema).close()


def judge(schema: str, text: str) -> tuple[float, str]:
    """The value of a text on a schema (see `SqlExecutes`), and what sqlite says of it."""
    database = _open(schema)
    try:
        database.set_progress_handler(lambda: 1, STEPS)
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


def _open(schema: str) -> sqlite3.Connection:
    """A database in memory with a schema, which may attach nothing."""
    database, chunks = sqlite3.connect(":memory:"), 0

    def late() -> bool:
        nonlocal chunks
        chunks += 1
        return chunks * STEPS > SCHEMA_STEPS

    try:
        database.text_factory = bytes  # text that is not UTF-8 can be read too
        database.execute("pragma temp_store = memory")
        if sys.version_info >= (3, 11):
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
        database.set_authorizer(_authorise)
        database.set_progress_handler(late, STEPS)
        database.executescript(schema)
    except BaseException:
        database.close()
        raise
    return database


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


def _authorise(action: int, name: str | None, *_: object) -> int:
    """No other database files, temporary ones neither."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (name or "").lower().startswith(("temp_store", "data_store")):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
