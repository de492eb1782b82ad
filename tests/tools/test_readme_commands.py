"""The runner of the README's commands: what it runs, in which order, and when it fails."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "tools" / "readme_commands.py"
SPEC = importlib.util.spec_from_file_location("readme_commands", PATH)
readme_commands = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(readme_commands)


@pytest.fixture
def folder(tmp_path):
    """A folder with an environment of its own, which is the one that runs the tests."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def blocks(*parts):
    return "Text.\n\n" + "\n".join(f"```{kind}\n{code}\n```\n" for kind, code in parts)


def test_all_blocks_run_in_one_shell_in_their_order(folder):
    text = blocks(
        ("bash", "NAME=first  # a comment\nprintf '%s\\n' \"$NAME\" \\\n  > out.txt"),
        ("python", "from pathlib import Path"),
        ("python", "Path('out.txt').open('a').write('second\\n')"),
        ("bash no-ci", "echo never >> out.txt"),
        ("", "echo never >> out.txt"),
        ("bash", "bash tools/test.sh\nMINDCOLD_PEER=1 bash tools/test.sh  # more\n.ci/run\necho $NAME >> out.txt"),
        ("bash", "cat >> out.txt <<END\n$NAME; exit 3\nEND"),
    )
    assert readme_commands.run(text, folder, 30) is None
    assert (folder / "out.txt").read_text().splitlines() == ["first", "second", "first", "first; exit 3"]


@pytest.mark.parametrize(
    ("kind", "code", "failed"),
    [
        ("bash", "true\n(exit 3)\ntouch later", "exit 3: exit code 3"),
        ("bash", "false | cat\ntouch later", "cat: exit code 1"),
        ("bash", "no-such-command --flag\ntouch later", "no-such-command --flag: exit code 127"),
        ("bash", "echo $NOWHERE\ntouch later", "echo $NOWHERE: exit code 1"),
        ("python", "raise SystemExit(4)", "exit code 4"),
    ],
)
def test_a_failure_ends_it_and_names_the_command(folder, kind, code, failed):
    assert readme_commands.run(blocks((kind, code), ("bash", "touch later")), folder, 30).endswith(failed)
    assert not (folder / "later").exists()


def test_a_command_that_takes_too_long_is_ended(folder):
    began = time.monotonic()
    found = readme_commands.run(blocks(("bash", "sleep 0.01\nsleep 60\ntouch later")), folder, 0.5)
    assert found == "sleep 60: took more than 0.5 seconds"
    assert time.monotonic() - began < 20 and not (folder / "later").exists()


def test_the_copy_holds_the_checkout_and_nothing_that_is_ignored(tmp_path):
    readme_commands.copy_checkout(tmp_path)
    assert (tmp_path / "README.md").is_file() and (tmp_path / "mindcold" / "__init__.py").is_file()
    assert not (tmp_path / ".venv").exists() and not (tmp_path / ".git").exists()


def test_a_stopped_run_leaves_nothing(tmp_path):
    readme, place = tmp_path / "README.md", tmp_path / "temporary"
    readme.write_text(blocks(("bash", "sleep 321")))
    place.mkdir()
    command = [sys.executable, str(PATH), str(readme)]
    environment = os.environ | {"TMPDIR": str(place)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert "sleep 321" in process.stdout.readline() and list(place.iterdir())
        process.terminate()
        assert process.wait(30) == 143
    assert not list(place.iterdir())
