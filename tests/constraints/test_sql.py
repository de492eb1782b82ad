"""SQL that runs: one statement and nothing else, whatever is in its literals."""

import sqlite3
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mindcold.constraints import ConstraintError, SqlExecutes

SQL = SqlExecutes("create table pets (name text, age int); insert into pets values ('Rex', 3);")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("select name from pets where age > 2", 1.0),
        ("insert into pets values ('Tom', 1)", 1.0),
        ("create trigger t after insert on pets begin select 1; select 2; end;", 1.0),
        ("select cast(x'ff' as text)", 1.0),
        ("select colour from pets", 0.5),
        ("attach database 'x.db' as x", 0.5),
        ("vacuum into 'x.db'", 0.5),
        ("select from where", 0.0),
        ("select", 0.0),
        ("select 'open", 0.0),
        ("select 1 # 2", 0.0),
        ("nonsense", 0.0),
        ("", 0.0),
        (" ; -- nothing", 0.0),
        ("/* open", 0.0),
        ("select 1\0", 0.0),
        ("select '\ud800'", 0.0),
    ],
)
def test_one_statement(text, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SQL.score(text) == value
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tail", "value"),
    [
        ("; nonsense", 0.0),
        ("; select", 0.0),
        (";\n\nQuestion: how many?", 0.0),
        ("; select 'open", 0.0),
        ("; select 1; nonsense", 0.0),
        ("; select 2", 0.5),
        ("; select colour from pets;", 0.5),
        ("; select ';'; select 3; -- end", 0.5),
    ],
)
@pytest.mark.parametrize("head", ["select 1", "select ';' from pets", "/* ; */ select name from pets"])
def test_more_than_one_statement(head, tail, value):
    assert SQL.score(head) == 1.0 and SQL.score(head + tail) == value


blanks = st.lists(st.sampled_from([" ", "\n", ";", "-- a; 'b\n", '/* c; " */', "\t"]), max_size=4).map("".join)


@given(before=blanks, literal=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), after=blanks)
@example("", ";", "")
@example("", "it's; -- not /* over", ";")
def test_what_is_in_a_literal_or_around_the_statement_does_not_matter(before, literal, after):
    quoted = literal.replace("'", "''")
    assert SQL.score(f"{before}select '{quoted}'{after}") == 1.0
    assert SQL.score(f"{before}select '{quoted}', colour from pets{after}") == 0.5
    assert SQL.score(f"{before}select '{quoted}' from{after}") == 0.0
    assert SQL.score(f"{before}select '{quoted}'; {after}select 2{after}") == 0.5
    assert SQL.score(f"{before}select '{quoted}'; {after}nonsense") == 0.0


parts = st.sampled_from([*"1;'\"-*/[]`\n\0 ", "select ", "; ", "--", "from ", "pets", "1", "age"])


@given(text=st.lists(parts, max_size=12).map("".join))
def test_any_text_has_a_value_and_full_marks_are_sqlites(text):
    value = SQL.score(text)
    assert value in (0.0, 0.5, 1.0)
    database = sqlite3.connect(":memory:")
    database.executescript(SQL.schema)
    if value == 1.0:
        database.executescript(text)
    elif value == 0.0 and not set(text) & set("\0;"):
        with pytest.raises(sqlite3.Error, match=r"syntax|incomplete|unrecognized"):
            database.executescript(f"explain {text}")


def test_an_endless_query_ends():
    began = time.perf_counter()
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    assert SQL.score(endless) == 0.5 and time.perf_counter() - began < 5


def test_a_schema_that_is_none_is_one_line():
    with pytest.raises(ConstraintError, match=r"^constraint SqlExecutes: schema: ") as caught:
        SqlExecutes("create tabel\nx")
    assert "\n" not in str(caught.value)


def test_a_schema_reaches_no_file_and_ends(tmp_path):
    """It may come from a request."""
    path = tmp_path / "x.db"
    for schema in (f"attach database '{path}' as x; create table x.t (a)", f"vacuum into '{path}'"):
        with pytest.raises(ConstraintError, match="schema: "):
            SqlExecutes(schema)
    assert not list(tmp_path.iterdir())
    endless = "create table t as with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    with pytest.raises(ConstraintError, match="schema: interrupted"):
        SqlExecutes(endless)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("attach database 'x.db' as x", "not authorized"),
        ("create table a (b); vacuum into 'x.db'", "authorization denied"),
        ("pragma temp_store_directory = '.'", "not authorized"),
        ("with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n", "interrupted"),
        ("create table a (b); insert into a values (1);" + "insert into a select * from a;" * 40, "interrupted"),
        (
            "create table a (b); insert into a values (zeroblob(9000000));" + "insert into a select * from a;" * 7,
            "memory",
        ),
        ("create table a (b); insert into a values (zeroblob(400000000)), (zeroblob(400000000))", "too big|memory"),
    ],
)
def test_a_schema_beyond_its_bounds_is_one_line(schema, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConstraintError, match=rf"^constraint SqlExecutes: schema: .*{message}") as caught:
        SqlExecutes(schema)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_query_of_any_size_has_a_value():
    assert SQL.score("select hex(zeroblob(400000000))") == 0.5
    assert SQL.score("select name from pets") == 1.0
