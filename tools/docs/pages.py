"""Write the pages of the reference into a folder: what mkdocs needs to build it.

    python tools/docs/pages.py FOLDER

FOLDER gets `mkdocs.yml`, `docs/` (the READMEs as they lie beside the code, a page for each package with its public
names, the keywords of `generate`, the help of every command) and `source/` (the packages as they are installed, which
are read but not run). `bash tools/docs.sh` does it all.
"""

import argparse
import ast
import importlib
import json
import os
import re
import shutil
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from mindcold.cli import COMMANDS
from mindcold.sampling_params import SamplingParams, bounds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGES = {"mindcold": "mindcold", "ops": "mindcold.ops", "model_zoo": "mindcold.model_zoo"}
"""Folder to the package it is installed as."""

MODULES = ("mindcold.errors", "mindcold.chat", "mindcold.ray")
"""Modules that are public without being a package with `__all__`."""

SECURITY = Path(".github/SECURITY.md")
CHANGELOG = Path("mindcold/CHANGELOG.md")

_FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\(([^()\s]+)\)")
_INNER = re.compile(r"^ {2,3}(?=\S)", re.MULTILINE)  # what belongs to an item of a list, by four spaces in mkdocs
_NEXT = re.compile(r"(?<=\n)(?=(?:\*|\d+\.) )")  # where an item begins: after an empty line, as mkdocs wants it
_WIDTH = "100"


def guides(root: Path = ROOT) -> list[Path]:
    """The Markdown files of the repository that become pages, relative to its top."""
    inner = sorted(path for name in (*PACKAGES, "tools") for path in (root / name).rglob("*.md"))
    files = [root / "README.md", *inner, root / SECURITY]
    return [path.relative_to(root) for path in files if path.is_file()]


def page_of(guide: Path) -> Path:
    """Where the page of a Markdown file lies; mkdocs leaves out folders that begin with a dot."""
    return Path(*(part for part in guide.parts if not part.startswith(".")))


def relinked(text: str, guide: Path, pages: set[Path], root: Path = ROOT) -> str:
    """A text as mkdocs reads it, whose links lead to pages; those to files that are none keep their words alone.

    Links to what does not exist stay, for mkdocs to find.
    """

    def one(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if image or not path or ":" in target:
            return match.group()
        found = Path(os.path.normpath(guide.parent / path))
        page = next((item for item in (found, found / "README.md") if item in pages), None)
        if page is not None:
            return f"[{words}]({os.path.relpath(page_of(page), page_of(guide).parent)}{hash_}{anchor})"
        return words if (root / found).exists() else match.group()

    parts = _FENCE.split(text)
    parts[::2] = [_NEXT.sub("\\n", _INNER.sub("    ", _LINK.sub(one, part))) for part in parts[::2]]
    parts[1::2] = [re.sub(r"\A```(\w*)[^\n]*", r"```\1", part) for part in parts[1::2]]  # one word names a language
    return "".join(parts)


def images(text: str) -> list[str]:
    """Paths of the pictures a text shows."""
    return [target for image, _, target in _LINK.findall(text) if image and ":" not in target]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """The modules that have a page, by name: packages with `__all__`, and MODULES."""
    found = {}
    for folder, package in PACKAGES.items():
        for path in sorted((root / folder).rglob("__init__.py")):
            if "__all__" in path.read_text(encoding="utf-8"):
                found[".".join([package, *path.parent.relative_to(root / folder).parts])] = path
    return found | {name: root / f"{name.replace('.', '/')}.py" for name in MODULES}


def public_names(path: Path) -> list[str]:
    """The names in a module's `__all__`, or the classes and functions it defines."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    defined = [node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    return [name for name in defined if not name.startswith("_")]


def module_page(name: str, path: Path) -> str:
    """The page of a module: what it says of itself, then each public name."""
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return "\n\n".join([f"# {name}", about, *(f"::: {name}.{item}" for item in public_names(path))]) + "\n"


def keywords_page() -> str:
    """The keywords of `generate`, as they are declared."""
    lines = [
        *(
            "# Keywords of generate",
            "",
            "Of `LLM.generate`, `LLM.stream`, `Request` and, with dashes, of the commands.",
            "",
        ),
        *("| keyword | default | bounds | for | |", "|---|---|---|---|---|"),
    ]
    for item in fields(SamplingParams):
        about = item.metadata
        number = about["kind"] in (int, float)
        limits = bounds(about) if number else ", ".join(about["choices"])
        lines.append(f"| `{item.name}` | `{item.default!r}` | {limits} | {about['group']} | {about['help']} |")
    return "\n".join(lines) + "\n"


def command_page(name: str, module: str, summary: str) -> str:
    """The help of a command, and of its own commands."""
    parser = argparse.ArgumentParser(prog=f"mindcold {name}", description=f"{summary[0].upper()}{summary[1:]}.")
    importlib.import_module(module).add_arguments(parser)
    parts = [f"# mindcold {name}", f"```text\n{parser.format_help()}```"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parts += [f"## {own}\n\n```text\n{inner.format_help()}```" for own, inner in action.choices.items()]
    return "\n\n".join(parts) + "\n"


def title(guide: Path, root: Path = ROOT) -> str:
    """The place of a Markdown file, as the navigation names it."""
    return str(guide.parent) if guide.name == "README.md" and guide.parent.parts else guide.stem


def write(folder: Path, root: Path = ROOT) -> None:
    """Write it all."""
    docs = folder / "docs"

    def page(path: Path, text: str) -> str:
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text, encoding="utf-8")
        return path.as_posix()

    os.environ["COLUMNS"] = _WIDTH  # argparse wraps there
    found = guides(root)
    for guide in found:
        text = (root / guide).read_text(encoding="utf-8")
        page(page_of(guide), relinked(text, guide, set(found), root))
        for picture in images(text):
            if (root / guide.parent / picture).is_file():
                shutil.copyfile(root / guide.parent / picture, docs / page_of(guide).parent / picture)
    rooms = [guide for guide in found if guide not in (Path("README.md"), SECURITY, CHANGELOG)]
    nav: list[dict[str, Any]] = [
        {"mindcold": "README.md"},
        {
            "Python": [
                {"Keywords of generate": page(Path("reference/keywords.md"), keywords_page())},
                *(
                    {name: page(Path("reference") / f"{name}.md", module_page(name, path))}
                    for name, path in modules(root).items()
                ),
            ]
        },
        {
            "Command line": [
                {name: page(Path("commands") / f"{name}.md", command_page(name, *about))}
                for name, about in COMMANDS.items()
            ]
        },
        {"Beside the code": [{title(guide, root): page_of(guide).as_posix()} for guide in rooms]},
        {"Security": page_of(SECURITY).as_posix()},
        {"Changes": page_of(CHANGELOG).as_posix()},
    ]
    for name, package in PACKAGES.items():
        target = folder / "source" / package.replace(".", "/")
        shutil.copytree(root / name, target, ignore=lambda _, names: [n for n in names if n == "__pycache__"])
    settings = (HERE / "mkdocs.yml").read_text(encoding="utf-8")
    (folder / "mkdocs.yml").write_text(f"{settings}nav: {json.dumps(nav)}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
