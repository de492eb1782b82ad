"""Method specifications."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindcold.errors import RequestError
from mindcold.tasks.methods import MethodSpec, parse_method, parse_methods


def test_names_options_and_types():
    first, second, third = parse_methods(
        "greedy; cdsl:draft=trigram,tau_a=0.5,lookahead=8 ;sample:do_sample=True,top_k=none"
    )
    assert first == MethodSpec("greedy", "greedy")
    assert second.method == "cdsl" and second.options == {"draft": "trigram", "tau_a": 0.5, "lookahead": 8}
    assert type(second.options["lookahead"]) is int and third.options == {"do_sample": True, "top_k": None}
    assert second.label == "cdsl:draft=trigram,tau_a=0.5,lookahead=8"
    assert parse_method("greedy:draft=/some/folder.d").options == {"draft": "/some/folder.d"}


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), st.one_of(st.integers(), st.booleans(),
       st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=5))  # fmt: skip
def test_what_is_written_is_read(options):
    text = "cold" + (":" if options else "") + ",".join(f"{key}={value}" for key, value in options.items())
    assert parse_method(text).options == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--methods: empty"),
        (" ; ", "--methods: empty"),
        ("greedy:", "'greedy:' is not of the form name:key=value"),
        (":a=1", "is not of the form name:key=value"),
        ("Greedy", "is not of the form name:key=value"),
        ("cold:alpha", "'alpha' is not of the form key=value"),
        ("cold:alpha=", "'alpha=' is not of the form key=value"),
        ("cold:=1", "'=1' is not of the form key=value"),
        ("cold:alpha=1,", "'' is not of the form key=value"),
        ("cold:alpha=1,alpha=2", "alpha is given twice"),
        ("cold;greedy;cold", "'cold' is there twice"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(RequestError) as found:
        parse_methods(text)
    assert message in str(found.value) and str(found.value).startswith("--methods: ")


def test_keywords_that_take_texts_get_texts():
    spec = parse_method("scd:draft=none,amateur=7,alpha=0.5,eos_token_id=none")
    assert spec.options == {"draft": "none", "amateur": "7", "alpha": 0.5, "eos_token_id": None}
