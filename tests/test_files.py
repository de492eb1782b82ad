"""Files in one piece: what a reader sees after success, after an exception and after a stop in the middle."""

import json
import os
import stat

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from mindcold import files
from mindcold.errors import AdapterError, BatchError, RequestError
from mindcold.files import (
    atomic,
    check_folder,
    check_target,
    is_file,
    new_folder,
    read_bytes,
    write_json,
    write_tensors,
    write_text,
)


def test_what_is_written_replaces_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    write_json(path, {"new": "ü"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"new": "ü"}
    write_text(tmp_path / "b.txt", "one\ntwo\r\n")
    assert (tmp_path / "b.txt").read_bytes() == b"one\ntwo\r\n"
    write_tensors(tmp_path / "c.safetensors", {"x": np.arange(3, dtype=np.float32)})
    assert load_file(tmp_path / "c.safetensors")["x"].tolist() == [0, 1, 2]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.json", "b.txt", "c.safetensors"]
    assert {stat.S_IMODE(item.stat().st_mode) for item in tmp_path.iterdir()} == {0o644}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic(path) as partial:
        partial.write_text("half of the n")
        assert path.read_text() == "old"
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(TypeError):
        write_json(path, {"not json": object()})
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_content_then_name_then_folder_reach_the_disk(tmp_path, monkeypatch):
    happened, path = [], tmp_path / "a.txt"
    fsync, replace = os.fsync, type(path).replace

    def synchronise(handle):
        kind = "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes"
        happened.append(kind)
        fsync(handle)

    def rename(self, target):
        happened.append("rename")
        return replace(self, target)

    monkeypatch.setattr(files.os, "fsync", synchronise)
    monkeypatch.setattr(type(path), "replace", rename)
    write_text(path, "abc")
    assert happened == ["3 bytes", "rename", "folder"]


def test_writers_at_once_do_not_share_a_partial_file(tmp_path):
    path = tmp_path / "a.txt"
    with atomic(path) as first, atomic(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the outer block ends last


def test_a_missing_folder_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "a.txt", "x")


def test_a_new_folder_is_whole_or_not_there(tmp_path):
    folder = tmp_path / "deep" / "new"
    with new_folder(folder, AdapterError) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a.txt").write_text("a")
        (partial / "inner" / "a.txt").chmod(0o400)
        assert not folder.exists()
    assert (folder / "inner" / "a.txt").read_text() == "a" and list(folder.parent.iterdir()) == [folder]
    assert stat.S_IMODE((folder / "inner" / "a.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((folder / "inner").stat().st_mode) == 0o755
    with pytest.raises(AdapterError, match="new: exists already; name a new folder"), new_folder(folder, AdapterError):
        pass
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "other", AdapterError) as partial:
        (partial / "half").write_text("h")
        raise KeyboardInterrupt
    assert [item.name for item in tmp_path.iterdir()] == ["deep"]
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "new", tmp_path / "file" / "more" / "new"):
        with pytest.raises(AdapterError, match="file"), new_folder(place, AdapterError):
            pass


def not_files(tmp_path):
    """Path of things that are there and are no files."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    return [tmp_path / name for name in ("pipe", "folder", "device")]


def test_what_is_no_file_is_refused_unopened(tmp_path):
    for path in not_files(tmp_path):
        for read in (lambda path: is_file(path, BatchError), lambda path: read_bytes(path, BatchError, 10)):
            with pytest.raises(BatchError, match=f"{path.name}: a (folder|named pipe, socket or device), where a file"):
                read(path)
    assert not is_file(tmp_path / "nothing", BatchError) and not is_file(tmp_path / "nothing" / "x", BatchError)
    for path in ("x" * 5000, "\0"):
        with pytest.raises(BatchError) as caught:
            is_file(path, BatchError)
        assert len(str(caught.value)) < 300


def test_a_file_is_read_up_to_its_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", BatchError, 5) == b"12345"
    with pytest.raises(BatchError, match="more than 4 bytes"):
        read_bytes(tmp_path / "a", BatchError, 4)
    with pytest.raises(BatchError, match="no such file"):
        read_bytes(tmp_path / "b", BatchError, 4)


def test_nothing_but_a_file_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    before = sorted(tmp_path.iterdir())
    for path in (*before, "/dev/null"):
        with pytest.raises(FileExistsError):
            write_text(path, "x")
        with pytest.raises(RequestError, match="not overwritten, name another file"):
            check_target(path, RequestError, "text", lambda found: True)
    assert sorted(tmp_path.iterdir()) == before


def test_long_names_have_room(tmp_path):
    name = "n" * 250
    write_text(tmp_path / name, "x")
    with new_folder(tmp_path / f"{name[:-1]}f", AdapterError):
        pass
    for long in ("n" * 256, "n/" * 3000 + "n", "a\0b"):
        with pytest.raises(AdapterError) as caught, new_folder(tmp_path / long, AdapterError):
            pytest.fail("it begins")
        assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_folders_above_a_new_one_go_with_it(tmp_path):
    with pytest.raises(KeyError), new_folder(tmp_path / "a" / "b" / "c", AdapterError):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_targets_are_checked_before_any_work(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert check_target(tmp_path / "new", RequestError, "text") == tmp_path / "new"
    assert check_target(tmp_path / "mine.txt", RequestError, "text", lambda path: path.read_text() == "mine")
    for path, message in (
        (tmp_path / "mine.txt", "is no picture; not overwritten"),
        (tmp_path / "none" / "a", "no such folder"),
        (tmp_path / "mine.txt" / "a", "no such folder|Not a directory"),
        (tmp_path / ("n" * 256), "File name too long"),
        ("a\0b", "null byte"),
        ("", "directory"),
    ):
        with pytest.raises(RequestError, match=message) as caught:
            check_target(path, RequestError, "picture")
        assert str(caught.value).isprintable()
    assert check_folder(tmp_path / "new" / "er", AdapterError) == tmp_path / "new" / "er"
    for path in (tmp_path / "mine.txt", tmp_path / "mine.txt" / "a", "/dev/null/a", "a\0b", tmp_path / ("n" * 256)):
        with pytest.raises(AdapterError):
            check_folder(path, AdapterError)
    assert [item.name for item in tmp_path.iterdir()] == ["mine.txt"]


def test_a_full_disk_is_an_oserror(monkeypatch, tmp_path):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(tmp_path / "a.safetensors", {"x": np.zeros(1)})
    assert not list(tmp_path.iterdir())
