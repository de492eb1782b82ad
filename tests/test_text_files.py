"""Text and JSON lines: a line ends at a line feed and nowhere else, in every reader of files."""

import json

import pytest

from mindcold.batch.input_file import InputFile
from mindcold.bench import items
from mindcold.errors import RequestError
from mindcold.tasks import TASKS, read_items
from mindcold.text_files import parse_json, read_lines, read_text

BREAKS = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\x1dh\x1ei\rj"
"""All that Python's splitlines ends a line at."""


def test_lines_end_at_line_feeds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(f"\ufeff{BREAKS}\r\n\n{BREAKS}".encode())
    assert list(read_lines(path, RequestError)) == [(1, BREAKS), (2, ""), (3, BREAKS)]
    assert read_text(path, RequestError) == f"{BREAKS}\r\n\n{BREAKS}"
    path.write_bytes(b"")
    assert list(read_lines(path, RequestError)) == [(1, "")] and read_text(path, RequestError) == ""


def test_readers_of_every_kind_keep_lines_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    line = json.dumps({"prompt": BREAKS, "answer": "x"}, ensure_ascii=False)
    path.write_bytes(f"{line}\n{line}\n".encode())
    assert [item.prompt for item in items.read(path)] == [BREAKS] * 2
    assert [item.prompt for item in read_items(TASKS["jsonl"], path)] == [BREAKS] * 2
    assert [line.value for line in InputFile(path, "text").lines()] == [line, line]


@pytest.mark.parametrize("content", [None, b"ok\n\xff\n", b"\xed\xa0\x80"])
def test_what_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestError, match=r"a.txt: (No such file|line [12]: not UTF-8)"):
        list(read_lines(path, RequestError))
    for place in (tmp_path, tmp_path / "a.txt" / "b", "/dev/zero", tmp_path / ("n" * 300)):
        with pytest.raises(RequestError) as caught:
            read_text(place, RequestError)
        assert str(caught.value).isprintable()


def test_json_is_refused_in_one_line():
    assert parse_json('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
    for text, message in (
        ("[" * 100_000, "not valid JSON .nested too deep"),
        ('{"a":' * 100_000, "not valid JSON"),
        ("7" * 5000, "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"a": "\\ud800"}', "half of a surrogate pair is no text"),
        ('{"\\udfff": 1}', "half of a surrogate pair is no text"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            parse_json(text)
        assert len(str(caught.value)) < 200
