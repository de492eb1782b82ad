"""Building the C++ bodies: what the cache is keyed by, who may write to it, and what is loaded from it."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mindcold.errors import OperatorError
from mindcold.ops import build
from mindcold.ops.contrastive_score.aot import SOURCE


@pytest.fixture
def fresh_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDCOLD_CACHE", str(tmp_path / "cache"))
    build.library.cache_clear()
    yield tmp_path / "cache" / "libraries"
    build.library.cache_clear()


def copy_source(folder, change=""):
    (folder / "op").mkdir(exist_ok=True)
    for header in SOURCE.parent.parent.glob("*.h"):
        (folder / header.name).write_bytes(header.read_bytes())
    source = folder / "op" / "kernel.cc"
    source.write_text(SOURCE.read_text() + change)
    return source


def test_the_cache_key_follows_the_content(tmp_path, fresh_cache):
    source = copy_source(tmp_path)
    first = build.library(source)
    build.library.cache_clear()
    assert build.library(source) == first and first.is_file()
    build.library.cache_clear()
    assert build.library(copy_source(tmp_path, "\n// changed\n")) != first
    build.library.cache_clear()
    source = copy_source(tmp_path)
    (tmp_path / "exp.h").write_text((tmp_path / "exp.h").read_text() + "\n// changed\n")
    assert build.library(source) != first
    assert not list(fresh_cache.glob("*.partial"))


def test_a_source_that_does_not_compile_names_the_error(tmp_path, fresh_cache):
    with pytest.raises(OperatorError, match=r"kernel\.cc: g\+\+ failed: .*error"):
        build.library(copy_source(tmp_path, "\nint broken("))
    assert not list(fresh_cache.iterdir())


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, fresh_cache):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINDCOLD_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(OperatorError, match="set MINDCOLD_CACHE"):
        build.library(SOURCE)


def test_two_processes_building_at_once(fresh_cache):
    code = f"from pathlib import Path; from mindcold.ops import build; print(build.library(Path({str(SOURCE)!r})))"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {run.communicate(timeout=120)[0].strip().splitlines()[-1] for run in runs}
    assert all(run.returncode == 0 for run in runs) and len(paths) == 1 and Path(paths.pop()).is_file()


@pytest.fixture
def small_source(tmp_path):
    (tmp_path / "small").mkdir()
    source = tmp_path / "small" / "kernel.cc"
    source.write_text('extern "C" int answer() { return 42; }\n')
    return source


def again(source):
    """What another process would be given."""
    build.library.cache_clear()
    return build.library(source)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_cache_is_its_owners_whatever_the_umask(small_source, fresh_cache):
    before = os.umask(0)
    try:
        built = build.library(small_source)
    finally:
        os.umask(before)
    assert built.parent == fresh_cache and stat.S_IMODE(fresh_cache.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o722, 0o777, 0o1777])
def test_a_cache_that_others_may_write_to_is_refused(small_source, fresh_cache, mode):
    built = build.library(small_source)
    fresh_cache.chmod(mode)
    with pytest.raises(OperatorError, match=r"libraries: other users may write to it.*MINDCOLD_CACHE$"):
        again(small_source)
    fresh_cache.chmod(0o755)  # to be read by all does no harm
    assert again(small_source) == built


def test_the_cache_of_another_user_is_refused(small_source, fresh_cache, monkeypatch):
    build.library(small_source)
    monkeypatch.setattr(build.os, "geteuid", lambda: fresh_cache.stat().st_uid + 1)
    with pytest.raises(OperatorError, match="libraries: other users may write to it"):
        again(small_source)


def test_a_link_to_the_cache_of_another_user_is_refused(small_source, fresh_cache, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    fresh_cache.parent.mkdir()
    fresh_cache.symlink_to(tmp_path / "open")
    with pytest.raises(OperatorError, match="open: other users may write to it"):
        build.library(small_source)


@pytest.mark.parametrize("damage", ["a byte", "the end", "all", "another"])
def test_a_library_that_was_changed_is_built_anew(small_source, fresh_cache, damage):
    built = build.library(small_source)
    content = built.read_bytes()
    middle = len(content) // 2
    changed = {
        "a byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "the end": content[:middle],
        "all": b"",
        "another": SOURCE.read_bytes(),
    }
    built.write_bytes(changed[damage])
    found = again(small_source)
    assert found.read_bytes() == content and found.stem.rpartition("-")[2] == digest(found)
    assert list(fresh_cache.iterdir()) == [found]


def test_a_library_is_not_taken_for_its_name_alone(small_source, fresh_cache):
    built = build.library(small_source)
    content, stem = built.read_bytes(), built.stem.rpartition("-")[0]
    built.unlink()
    planted = [fresh_cache / f"{stem}.so", fresh_cache / f"{stem}-{'0' * 64}.so"]
    for path in planted:
        path.write_bytes(b"planted")
    assert again(small_source).read_bytes() == content


def test_what_cannot_be_read_is_one_line(small_source, fresh_cache):
    built = build.library(small_source)
    built.unlink()
    built.mkdir()
    with pytest.raises(OperatorError, match=r"small-.*\.so: Is a directory; set MINDCOLD_CACHE to another folder$"):
        again(small_source)
