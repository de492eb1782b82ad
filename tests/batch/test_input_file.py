"""Inputs: numbers of lines, what cannot be read, memory."""

import json
import tracemalloc

import pytest

from mindcold.batch.input_file import MAX_LINE, InputFile
from mindcold.errors import BatchError


def lines(tmp_path, content, form="auto"):
    path = tmp_path / "in"
    path.write_bytes(content)
    return list(InputFile(path, form).lines())


def test_a_text_file_is_a_prompt_a_line(tmp_path):
    found = lines(tmp_path, "\ufeffOne day\r\n\n  \n  The king ".encode())
    assert [(line.number, line.value, line.custom_id) for line in found] == [
        (1, "One day", "line-1"),
        (4, "  The king ", "line-4"),
    ]


def test_json_is_seen_by_its_first_sign(tmp_path):
    found = lines(tmp_path, b'\n {"custom_id": "a"}\n{"custom_id": 3}\n[1]\n"text"\n')
    assert [(line.number, line.custom_id, line.error) for line in found] == [
        (2, "a", None),
        (3, None, None),
        (4, None, "a JSON object is expected, found list"),
        (5, None, "a JSON object is expected, found str"),
    ]
    assert lines(tmp_path, b"{curly", "text")[0].value == "{curly"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"custom_id": "b\xff"}', "not UTF-8 at byte 16"),
        (b"{nonsense", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"custom_id": "\\ud800"}', "half of a surrogate pair"),
        (b'{"custom_id": "a"}', "custom_id: 'a' was used on a line before"),
        (b"7" * 5000, "not valid JSON"),
    ],
)
def test_a_bad_line_is_an_error_and_the_next_one_is_read(tmp_path, raw, why):
    found = lines(tmp_path, b'{"custom_id": "a"}\n' + raw + b'\n{"custom_id": "c"}\n')
    assert [line.number for line in found] == [1, 2, 3]
    assert why in found[1].error and not found[0].error and not found[2].error


def test_a_line_of_ten_megabytes_is_read_past_in_little_memory(tmp_path):
    path = tmp_path / "in"
    with path.open("wb") as file:
        file.write(json.dumps({"custom_id": "a"}).encode() + b"\n{")
        for _ in range(100):
            file.write(b" " * (MAX_LINE // 10))
        file.write(b'}\n{"custom_id": "b"}')
    source = InputFile(path)
    tracemalloc.start()
    found = list(source.lines())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [line.custom_id for line in found] == ["a", None, "b"]
    assert "longer than 8 MB" in found[1].error and peak < 4 * MAX_LINE


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(BatchError, match="No such file"):
        InputFile(tmp_path / "missing")
    with pytest.raises(BatchError, match="directory"):
        InputFile(tmp_path)
    (tmp_path / "empty").write_bytes(b" \n")
    with pytest.raises(BatchError, match="empty"):
        InputFile(tmp_path / "empty")
