"""The Triton kernels as files: `bash tools/ascend/prove.sh` runs them, in an environment of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "ops").glob("*/triton.py"))
GRID = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tools" / "ascend").glob("grid*.py"))


def kernels(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and node.decorator_list]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_sizes_are_not_specialised(path):
    # Triton compiles a form of its own for a size of 1: so one form serves all sizes, that of the proof
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            sizes = [item.arg for item in node.args.args if item.arg.isupper() and item.annotation is None]
            (option,) = node.decorator_list[0].keywords
            assert option.arg == "do_not_specialize" and ast.literal_eval(option.value) == sizes


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_a_file_holds_kernels_and_imports_triton_alone(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert names == {"triton", "triton.language"} and not [node for node in nodes if isinstance(node, ast.ImportFrom)]


def test_every_kernel_is_in_the_grid_of_the_proof():
    found = [name for path in FILES for name in kernels(path)]
    assert len(found) == 7 and [name for name in found if f'"{name}"' not in GRID] == []


def test_nothing_imports_triton_before_it_is_asked_for():
    code = "import sys, mindcold, mindcold.ops; sys.exit(any('triton' in name.split('.') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
