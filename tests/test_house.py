"""The house: files of one noun, one direction of imports, and no method's name below the methods."""

import ast
import re
from pathlib import Path

from mindcold.decoding import METHODS

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "mindcold").rglob("*.py"))


def module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {module(file) for file in FILES}


def imports(path):
    """Modules of mindcold a file imports when it is imported itself, those for type checkers left out."""
    found, known = set(), KNOWN
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mindcold"):
            inner = {f"{node.module}.{item.name}" for item in node.names} & known
            found |= inner or {node.module}
            if len(inner) < len(node.names):
                found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {item.name for item in node.names if item.name.startswith("mindcold")}
    return found & known - {module(path)}


def test_no_file_is_long():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert not {name: count for name, count in long.items() if count > 300}


def test_decoding_has_few_files():
    assert len(list((ROOT / "mindcold" / "decoding").glob("*.py"))) <= 13


def test_imports_have_no_circle():
    graph = {module(path): imports(path) for path in FILES}
    done, under_way = set(), []

    def visit(name):
        if name in done:
            return
        assert name not in under_way, " -> ".join([*under_way[under_way.index(name) :], name])
        under_way.append(name)
        for other in sorted(graph.get(name, ())):
            visit(other)
        done.add(under_way.pop())

    for name in graph:
        visit(name)


def test_scheduler_and_engine_know_no_methods_name():
    files = [*(ROOT / "mindcold" / "engine").glob("*.py"), ROOT / "mindcold" / "builder.py"]
    files += [
        ROOT / "mindcold" / "decoding" / f"{name}.py" for name in ("scheduler", "step_batch", "forward", "sampling")
    ]
    names = re.compile(r"[\"'](" + "|".join(METHODS) + r")[\"']")
    assert not [(path.name, found) for path in files for found in names.findall(path.read_text(encoding="utf-8"))]
