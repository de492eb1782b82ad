"""What may be given as `constraint=`."""

import pytest

from mindcold.constraints import Keywords, Regex, parse_constraint
from mindcold.errors import RequestError


def test_what_may_be_given():
    assert parse_constraint(None) == []
    assert isinstance(parse_constraint(["a", "b"])[0], Keywords)
    assert [type(item).__name__ for item in parse_constraint([Regex("a"), len])] == ["Regex", "TextReward"]
    assert [type(item).__name__ for item in parse_constraint([["a"], None, Regex("a")])] == ["Keywords", "Regex"]


@pytest.mark.parametrize(("given", "message"), [(3, "found 3"), (Regex, "Regex is a class"), ([3], "found 3")])
def test_what_may_not_be_given(given, message):
    with pytest.raises(RequestError, match=f"^constraint: .*{message}"):
        parse_constraint(given)
