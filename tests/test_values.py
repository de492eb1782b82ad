"""What is plainly meant is converted, and nothing else: numbers, truth values, texts, lists and paths."""

from decimal import Decimal
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from mindcold import values
from mindcold.errors import ModelError, RequestError, shown


class Broken:
    """Fails at everything it is asked."""

    ndim = 0

    def item(self):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "integer", "number"),
    [
        *[(value, 5, 5.0) for value in (5, np.int64(5), np.uint8(5), np.array(5), np.array(5, np.int32))],
        *[(value, None, 0.5) for value in (0.5, np.float32(0.5), np.array(0.5), Decimal("0.5"), Fraction(1, 2))],
        (ml_dtypes.bfloat16(0.5), None, 0.5),
        (np.longdouble(0.5), None, 0.5),
        *[(value, None, None) for value in (True, np.True_, np.array(True), None, "5", b"5", 1j, [5], Broken())],
        *[(value, None, None) for value in (np.array([5]), np.array([[0.5]]), np.zeros((1, 1, 1)), np.timedelta64(5))],
        *[(value, None, None) for value in (float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN"))],
        *[(value, None, None) for value in (10**400, -(10**400), Fraction(10**400), Decimal("1e400"))],
    ],
)
def test_integers_and_numbers(value, integer, number):
    assert (values.integer(value), values.number(value)) == (integer, number)
    assert type(values.integer(value)) in (int, type(None)) and type(values.number(value)) in (float, type(None))


def test_integers_have_64_bits():
    assert values.integer(2**63 - 1) == 2**63 - 1 and values.integer(2**63) is None and values.number(2**63) == 2.0**63


def test_truth_values_and_texts():
    assert [values.flag(item) for item in (True, np.False_, np.array(True), 1, 0)] == [True, False, True, True, False]
    assert [values.flag(item) for item in ("yes", 2, 0.0, None, np.array([True]), [])] == [None] * 6
    assert values.text("a") == values.text(np.str_("a")) == values.text(np.array("a")) == "a"
    assert [values.text(item) for item in (b"a", 5, None, ["a"], "\ud800", "a\udfff")] == [None] * 6


def test_lists():
    read = values.integer
    for given in ([1, 2], (1, 2), range(1, 3), np.array([1, 2]), [np.int64(1), np.array(2)]):
        assert values.items(given, read) == [1, 2]
    for given in (
        b"\x01\x02",
        bytearray(b"\x01"),
        "12",
        5,
        None,
        {1, 2},
        np.array([True]),
        np.array([1.0]),
        [[1]],
        [True],
    ):
        assert values.items(given, read) is None
    assert values.items(np.ones((2, 2), int), read) is None and values.items(np.array(1), read) is None
    assert values.items([], read) == []


def test_paths(tmp_path):
    assert values.path("model", str(tmp_path), ModelError) == values.path("model", tmp_path, ModelError) == tmp_path
    for given in (5, None, b"/tmp", "", "a\0b", ["a"], np.array("a")):
        with pytest.raises(ModelError, match=r"^model: a path is expected, found [^\n]+$"):
            values.path("model", given, ModelError)


def test_arguments_are_refused_by_name():
    assert values.integer_of("chunk", np.int64(3), 1, 4) == 3
    for given in (True, 5, 0, 2.5, "3", None):
        with pytest.raises(RequestError, match=r"^chunk: an integer from 1 to 4 is expected, found "):
            values.integer_of("chunk", given, 1, 4)


def test_what_was_found_is_one_short_line():
    for value in ("a\nb" * 500, [0] * 10**6, 10**400, 10**5000, np.zeros((50, 50)), Broken(), {"a": {"b": [1] * 99}}):
        assert 0 < len(shown(value)) <= 200 and shown(value).isprintable()
    assert (shown("a"), shown(5), shown(None)) == ("'a'", "5", "None")
