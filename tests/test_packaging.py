"""The wheel holds every file of the three folders, and what they import is declared."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
FOLDERS = {"mindcold": "mindcold", "ops": "mindcold/ops", "model_zoo": "mindcold/model_zoo"}
CODE = (".py", ".cc", ".h", ".typed")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

_TORCH = {"torch", "transformers", "peft"}
OTHERS = {"transformers_peer.py": _TORCH, "llama_cpp_peer.py": {"llama_cpp"}}
"""Programs that are measured beside mindcold, in interpreters of their own, and what these have."""

ON_ASCEND = {"triton"}
"""What operators use on Ascend, where CANN's installation brings it: nothing that pip can resolve."""


def files(folder):
    return [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names of the files in a wheel that is built by way of the sdist, as pip and PyPI get it."""
    tree, dist = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name)  # caches included: they must not get in
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copyfile(ROOT / name, tree / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(tree)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        return [name for name in archive.namelist() if ".dist-info/" not in name]


def test_the_wheel_holds_every_package_and_its_files(wheel):
    expected = set()
    for folder, place in FOLDERS.items():
        for path in files(folder):
            if path.suffix in CODE or folder == "model_zoo":
                expected.add(f"{place}/{path.relative_to(ROOT / folder).as_posix()}")
    assert expected - set(wheel) == set()
    assert "mindcold/CHANGELOG.md" in wheel
    packages = {str(Path(name).parent) for name in wheel if name.endswith(".py")}
    assert "mindcold/ops/tree_verify" in packages
    assert all(f"{package}/__init__.py" in wheel for package in packages)


def test_the_wheel_holds_nothing_else(wheel):
    assert all(name.startswith("mindcold/") and "__pycache__" not in name for name in wheel)
    sources = {f"{place}/{path.relative_to(ROOT / name)}" for name, place in FOLDERS.items() for path in files(name)}
    assert set(wheel) <= sources


def imported(path):
    """Top-level names a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_every_import_is_declared():
    extras = PROJECT["optional-dependencies"]
    texts = PROJECT["dependencies"] + [text for name, part in extras.items() if name != "test" for text in part]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    homes, missing = packages_distributions(), []
    for path in [path for folder in FOLDERS for path in files(folder) if path.suffix == ".py"]:
        others = OTHERS.get(path.name, set()) if path.parent.name == "bench" else set()
        others = others | (ON_ASCEND if path.is_relative_to(ROOT / "ops") else set())
        for name in set(imported(path)) - set(sys.stdlib_module_names) - {"mindcold"} - others:
            if not declared & {canonicalize_name(home) for home in homes.get(name, [name])}:
                missing.append(f"{path.relative_to(ROOT)}: {name}")
    assert sorted(missing) == []


def test_requirements_end_with_the_project_and_agree_with_it():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert lines[-1] == "-e ."
    texts = PROJECT["dependencies"] + [text for part in PROJECT["optional-dependencies"].values() for text in part]
    allowed = {canonicalize_name(Requirement(text).name): Requirement(text).specifier for text in texts}
    for line in lines[:-1]:
        found = Requirement(line)
        pinned = re.fullmatch(r"==([\w.]+)", str(found.specifier))
        if pinned and (name := canonicalize_name(found.name)) in allowed:
            assert pinned.group(1) in allowed[name], line
