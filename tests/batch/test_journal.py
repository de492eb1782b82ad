"""The output: records that are whole, one writer, other people's files left alone."""

import json

import pytest

from mindcold.batch.input_file import Line
from mindcold.batch.journal import Journal, places
from mindcold.batch.response import error_record, line_number
from mindcold.errors import BatchError


def record(number, name="a"):
    return error_record(Line(number, {"custom_id": name}), "invalid_request", "why")


def test_a_record_knows_its_line():
    assert line_number(record(123456789)) == 123456789
    assert [line_number(item) for item in ({}, {"id": "x"}, {"id": 3}, [], None, {"id": "batch_req_x_y"})] == [None] * 6


def test_a_torn_end_is_cut_off_at_every_byte(tmp_path):
    path = tmp_path / "out"
    whole = [json.dumps(record(i)).encode() + b"\n" for i in (3, 1)]
    content = b"".join(whole)
    for size in range(len(content) + 1):
        path.write_bytes(content[:size])
        journal = Journal(path)
        kept = sum(size >= len(b"".join(whole[: n + 1])) for n in range(2))
        assert list(journal.places) == [3, 1][:kept]
        journal.append([record(7)])
        journal.close()
        assert list(places(path)) == [*[3, 1][:kept], 7]


@pytest.mark.parametrize("content", [b"my thesis", b"my thesis\n", b'{"id": "x"}\n', b"{}\n{}\n", b"\0\0\0"])
def test_other_peoples_files_are_left_alone(tmp_path, content):
    path = tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(BatchError, match="line 1: not a record of a batch job"):
        Journal(path)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_no_torn_end(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(json.dumps(record(1)).encode() + b"\ngarbage\n" + json.dumps(record(2)).encode() + b"\n")
    with pytest.raises(BatchError, match="line 2: not a record"):
        Journal(path)


def test_there_is_one_writer(tmp_path):
    journal = Journal(tmp_path / "out")
    with pytest.raises(BatchError, match="another process is writing it"):
        Journal(tmp_path / "out")
    journal.close()
    Journal(tmp_path / "out").close()


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(BatchError, match="No such file"):
        Journal(tmp_path / "no" / "out")
    with pytest.raises(BatchError, match="directory"):
        Journal(tmp_path)
