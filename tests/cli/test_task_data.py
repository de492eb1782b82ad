"""Results in the folder of --output: what they replace, and what becomes of them where they cannot be written."""

import json
import os

import pytest

from mindcold.bench import report
from mindcold.cli import task_data
from mindcold.errors import RequestError

PNG = b"\x89PNG\r\n\x1a\n"


def draw(path):
    path.write_bytes(PNG)


def test_results_replace_results_alone(tmp_path):
    folder = tmp_path / "a" / "b"
    task_data.check_output(folder, "evaluate")
    assert not folder.exists()
    for number in (1, 2):
        task_data.write(folder, "evaluate", {"setting": {"number": number}}, draw)
        task_data.check_output(folder, "evaluate")
    assert json.loads((folder / "evaluate.json").read_text()) == {"setting": {"number": 2}}
    assert sorted(path.name for path in folder.iterdir()) == ["evaluate.json", "evaluate.png"]
    for name in ("evaluate.json", "evaluate.png"):
        before = (folder / name).read_bytes()
        (folder / name).write_text("my notes")
        with pytest.raises(RequestError, match="not overwritten, name another file"):
            task_data.check_output(folder, "evaluate")
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(RequestError, match="is a pipe"):
            task_data.check_output(folder, "evaluate")
        (folder / name).unlink()
        (folder / name).write_bytes(before)


def test_places_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "a", tmp_path / ("n" * 300)):
        with pytest.raises(RequestError, match=r"^--output: ") as caught:
            task_data.check_output(place, "tune")
        assert str(caught.value).isprintable()
        with pytest.raises(RequestError, match=r"^--output: "):
            task_data.write(place, "tune", {}, draw)
    assert (tmp_path / "file").read_text() == "mine"


def test_half_a_picture_is_none(tmp_path):
    def fail(path):
        path.write_bytes(PNG)
        raise OSError(28, "No space left on device")

    with pytest.raises(RequestError, match="No space left on device"):
        task_data.write(tmp_path, "tune", {"setting": {}}, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["tune.json"]


def test_what_was_measured_is_shown_also_where_it_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError):
        report.show({"setting": {"model": "m"}, "steps": [{"task": "t", "ms": 1.0}]}, True, tmp_path / "file", "steps")
    assert json.loads(capsys.readouterr().out)["steps"] == [{"task": "t", "ms": 1.0}]
