"""Regular expressions, JSON schemas, SQL and keywords as constraints: harmless, wrong, endless and huge."""

import json
from functools import cache
from typing import Any

from expressions import expressions
from folders import VALUES
from hypothesis import strategies as st

from mindcold.constraints import Json, Regex, SqlExecutes, Vocabulary, parse_constraint
from mindcold.model_folder import find_folder
from mindcold.tokenizer import Tokenizer

KIND = "constraints"

SECONDS = 5.0
"""What an automaton may take here."""

_EXPRESSIONS = expressions(
    ["a", "the", ".", "[a-z]", r"\d", r"\w", r"\p{L}", "é", r"\b", "(?=a)", "^", "$", "", "(", "[", r"\1"],
    ["*", "+", "?", "{2,9}", "{300}", "{100000}", "{,3}"],
)
_BOUNDS = st.fixed_dictionaries(
    {},
    optional={name: st.sampled_from([0, 3, 10**6, -1]) for name in ("minLength", "maxLength", "maxItems", "minimum")},
)
_SCHEMAS = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["string", "integer", "boolean", "null", "number", "x"]), _BOUNDS).map(
            lambda pair: {"type": pair[0]} | pair[1]
        ),
        st.lists(VALUES, max_size=3).map(lambda values: {"enum": values}),
        st.sampled_from([{"$ref": "#"}, {"$ref": "#/x"}, {"pattern": "(", "type": "string"}, {}, True]),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda found: {"type": "object", "properties": found, "required": list(found)}
        ),
        st.tuples(inner, _BOUNDS).map(lambda pair: {"type": "array", "items": pair[0]} | pair[1]),
        st.lists(inner, max_size=3).map(lambda found: {"anyOf": found}),
    ),
    max_leaves=5,
)
_STATEMENTS = st.sampled_from(
    [
        "create table a (b)",
        "insert into a values (1), (2)",
        "insert into a select * from a, a x, a y",
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n",
        "attach 'x.db' as x",
        "vacuum into 'x.db'",
        "pragma temp_store_directory = '.'",
        "pragma journal_mode = wal",
        "select zeroblob(999999999)",
        "select load_extension('x')",
        "create trigger t after insert on a begin insert into a values (3); end",
        "select",
        "-- x",
        "select '\ud800'",
        "\0",
    ]
)
_SQL = st.lists(_STATEMENTS, max_size=12).map("; ".join)


def strategy() -> st.SearchStrategy[Any]:
    """The kind of a constraint, and what it is made from."""
    return st.one_of(
        st.tuples(st.just("regex"), _EXPRESSIONS),
        st.tuples(st.just("schema"), _SCHEMAS | VALUES),
        st.tuples(st.just("sql"), st.tuples(_SQL, _SQL)),
        st.tuples(st.just("plain"), VALUES),
        st.tuples(
            st.just("plain"),
            st.dictionaries(
                st.sampled_from(["keywords", "forbidden", "regex", "json_schema", "choice", "sql"]), VALUES, max_size=2
            ),
        ),
    )


@cache
def _vocabulary() -> Vocabulary:
    return Vocabulary(Tokenizer(find_folder("tiny-base")), 2048, (2,))


def run(case: Any) -> None:
    """Start the constraint and take a token; judge the text where it is SQL."""
    kind, given = case
    if kind == "sql":
        SqlExecutes(given[0]).score(given[1])
        return
    if kind == "regex":
        found: list[Any] = [Regex(given, SECONDS)]
    elif kind == "schema":
        found = [Json(given if isinstance(given, dict) else json.dumps(given), SECONDS)]
    else:
        found = parse_constraint(given)
    for item in found:
        state = item.start(_vocabulary())
        state.allowed()
        state.advance(5)
        state.value()
