"""Typed fields of JSON objects: what is read, and refusals that name the file and the field in one line."""

import pytest

from mindcold.errors import AdapterError, ModelError, one_line
from mindcold.fields import Fields, read_json

FIELDS = Fields({"n": 3, "x": 0.5, "t": "a", "f": True, "l": ["a"], "o": {"n": "three"}, "none": None}, "c.json")


def test_fields_that_are_there_and_defaults():
    assert (FIELDS.integer("n"), FIELDS.number("x"), FIELDS.number("n"), FIELDS.text("t", "")) == (3, 0.5, 3.0, "a")
    assert (FIELDS.flag("f"), FIELDS.names("l"), FIELDS.object("o").raw) == (True, ["a"], {"n": "three"})
    assert (FIELDS.integer("none", 7), FIELDS.number("none", 1.5), FIELDS.text("none", "b")) == (7, 1.5, "b")
    assert (FIELDS.flag("none"), FIELDS.names("none"), FIELDS.object("none").raw) == (False, None, {})
    FIELDS.allow(FIELDS.raw)
    assert (FIELDS.token_ids("n", 4), FIELDS.token_ids("none", 4)) == ((3,), ())


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: FIELDS.integer("gone"), "c.json: gone: missing"),
        (lambda: FIELDS.number("gone"), "c.json: gone: missing"),
        (lambda: FIELDS.integer("x"), "c.json: x: an integer from 1"),
        (lambda: FIELDS.integer("f"), "c.json: f: an integer"),
        (lambda: FIELDS.integer("n", high=2), "c.json: n: an integer from 1 to 2 is expected, found 3"),
        (lambda: FIELDS.number("t"), "c.json: t: a number"),
        (lambda: FIELDS.number("f"), "c.json: f: a number"),
        (lambda: FIELDS.number("x", low=0.5), "c.json: x: a number above 0.5"),
        (lambda: FIELDS.flag("n"), "c.json: n: true or false"),
        (lambda: FIELDS.text("n", ""), "c.json: n: a string"),
        (lambda: FIELDS.names("t"), "c.json: t: a list of names"),
        (lambda: FIELDS.object("l"), "c.json: l: an object"),
        (lambda: FIELDS.object("o").integer("n"), "c.json: o: n: an integer"),
        (lambda: FIELDS.allow(["n", "x"]), "c.json: t: not a known field; known are n, x"),
        (lambda: FIELDS.token_ids("n", 3), "c.json: n: 3 is not a token id below vocab_size 3"),
    ],
)
def test_refusals_name_file_and_field(read, message):
    with pytest.raises(ModelError) as caught:
        read()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"[1]", "a JSON object is expected, found list"),
        (b"{\n", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
    ],
)
def test_files_that_hold_no_object(tmp_path, content, message):
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AdapterError) as caught:
        read_json(path, AdapterError)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_a_file_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "c.json").write_text('{"a": 1}', encoding="utf-8")
    assert read_json(tmp_path / "c.json", limit=8) == {"a": 1}
    with pytest.raises(ModelError, match="more than 7 bytes"):
        read_json(tmp_path / "c.json", limit=7)


def test_a_long_message_becomes_one_line_of_its_beginning():
    assert one_line(ValueError("a\n  b\tc ")) == "a b c"
    assert one_line("x" * 500) == "x" * 197 + "..." and one_line("x" * 200) == "x" * 200
    assert one_line("x" * 500, limit=None) == "x" * 500


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda fields: fields.integer("x"), list),
        (lambda fields: fields.number("x"), list),
        (lambda fields: fields.flag("x"), list),
        (lambda fields: fields.text("x", ""), list),
        (lambda fields: fields.names("x"), list),
        (lambda fields: fields.object("x"), list),
        (lambda fields: fields.token_ids("x", 3), str),
        (lambda fields: fields.integer("x"), lambda count: 10**5000),
        (lambda fields: fields.allow(["y"]), list),
    ],
)
def test_a_value_of_any_size_is_one_short_line(read, kind):
    for fields in (Fields({"x": kind([0] * 10**6)}, "c.json"), Fields({"x": "\n"}, "c.json")):
        try:
            read(fields)
        except ModelError as error:
            assert len(str(error)) < 400 and "\n" not in str(error)


def test_signs_that_cannot_be_printed_are_written_out():
    assert one_line("a\x00b\ud800\u202e é") == r"a\x00b\ud800\u202e é"


def test_a_file_beyond_any_configuration_is_refused(tmp_path):
    (tmp_path / "c.json").write_bytes(b'{"a": "' + b"x" * (1 << 24) + b'"}')
    with pytest.raises(ModelError, match="more than 16777216 bytes"):
        read_json(tmp_path / "c.json")
