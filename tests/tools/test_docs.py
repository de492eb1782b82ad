"""The pages of the API reference: every public name, every command, every guide, and links that lead somewhere."""

import importlib.util
import inspect
import json
from pathlib import Path

import pytest

import mindcold
from mindcold import constraints
from mindcold.cli import COMMANDS

PATH = Path(__file__).parents[2] / "tools" / "docs" / "pages.py"
SPEC = importlib.util.spec_from_file_location("pages", PATH)
pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pages)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        pages.write(folder)
    return folder


@pytest.mark.parametrize("module", [mindcold, constraints], ids=lambda module: module.__name__)
def test_every_public_name_has_its_place_and_says_what_it_is(module, written):
    page = (written / "docs" / "reference" / f"{module.__name__}.md").read_text()
    for name in module.__all__:
        assert f"\n::: {module.__name__}.{name}\n" in page
        assert inspect.getdoc(getattr(module, name))


def test_every_error_keyword_and_command_is_there(written):
    docs = written / "docs"
    assert "\n::: mindcold.errors.RequestError\n" in (docs / "reference" / "mindcold.errors.md").read_text()
    assert "| `top_p` | `1.0` |" in (docs / "reference" / "keywords.md").read_text()
    for name in COMMANDS:
        text = (docs / "commands" / f"{name}.md").read_text()
        assert f"usage: mindcold {name}" in text and "--" in text
    assert "usage: mindcold bench replay" in (docs / "commands" / "bench.md").read_text()


def test_every_page_is_in_the_navigation(written):
    lines = (written / "mkdocs.yml").read_text().splitlines()
    nav = json.loads(next(line for line in lines if line.startswith("nav: "))[5:])
    found = {str(path.relative_to(written / "docs")) for path in (written / "docs").rglob("*.md")}

    def named(items):
        for item in items:
            for value in item.values():
                yield from [value] if isinstance(value, str) else named(value)

    listed = list(named(nav))
    assert set(listed) == found and len(listed) == len(found)
    assert {"README.md", "SECURITY.md", "mindcold/CHANGELOG.md", "ops/README.md", "mindcold/batch/README.md"} <= found


def test_the_package_lies_as_it_is_installed(written):
    assert (written / "source" / "mindcold" / "ops" / "build.py").is_file()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](../room/README.md#part)", "[a](../room/README.md#part)"),
        ("[a](../room)", "[a](../room/README.md)"),
        ("[`a`](../code.py) and [b](../.github/SECURITY.md)", "`a` and [b](../SECURITY.md)"),
        ("[gone](../gone.md)", "[gone](../gone.md)"),
        ("[out](https://example.org) [here](#part)", "[out](https://example.org) [here](#part)"),
        ("![a](a.png)", "![a](a.png)"),
        ("* a\n\n  | b |\n  |---|\n* c", "* a\n\n    | b |\n    |---|\n\n* c"),
        ("```bash no-ci\n[a](../code.py)\n```", "```bash\n[a](../code.py)\n```"),
    ],
)
def test_links_lead_to_pages(tmp_path, text, expected):
    files = [
        Path(name) for name in ("here/README.md", "room/README.md", ".github/SECURITY.md", "code.py", "here/a.png")
    ]
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("")
    assert pages.relinked(text, files[0], set(files[:3]), tmp_path) == expected
