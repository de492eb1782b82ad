"""What a command makes of streams, folders and texts that are not as they should be: one line, nothing lost."""

import io
import json
import os
import subprocess
import sys
import types

import pytest

from mindcold.cli import COMMANDS, main, streams
from mindcold.errors import RequestError


@pytest.fixture
def command(monkeypatch):
    """command(run): the exit code of `mindcold echo`, whose work is `run`."""

    def call(run, *flags):
        module = types.ModuleType("tests.echo")
        module.add_arguments, module.run = lambda parser: parser.add_argument("--number", type=int), run
        monkeypatch.setitem(sys.modules, "tests.echo", module)
        monkeypatch.setitem(COMMANDS, "echo", ("tests.echo", "for tests"))
        return main(["echo", *flags])

    return call


def raising(error):
    def run(args):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/a\nb"), "/a b: No space left on device"),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied"),
        (MemoryError(), "out of memory"),
        (RecursionError("maximum depth"), "the input is nested too deep"),
        (RequestError("a: b\n  c"), "a: b c"),
    ],
)
def test_what_the_system_refuses_is_one_line(command, capsys, error, says):
    assert command(raising(error)) == 1
    assert capsys.readouterr().err == f"mindcold echo: error: {says}\n"


def test_a_wrong_flag_is_one_line(command, capsys):
    with pytest.raises(SystemExit) as ended:
        command(lambda args: 0, "--number", "x\ny")
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.count("\n") == 1
    assert err.startswith("mindcold echo: error: argument --number: invalid int value: ")


def test_interrupts_are_one_line_wherever_they_come(command, capsys, monkeypatch):
    assert command(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "mindcold echo: stopped\n"
    monkeypatch.setattr("mindcold.cli.importlib.import_module", raising(KeyboardInterrupt()))
    assert main(["generate", "--model", "x", "--ids", "1"]) == 130
    assert capsys.readouterr().err == "mindcold generate: stopped\n"


def test_a_full_standard_output_is_one_line(command, capsys, monkeypatch):
    for text in ("short", "x" * 100_000):
        with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
            monkeypatch.setattr("sys.stdout", full)
            assert command(lambda args, text=text: print(text) or 0) == 1
            full.flush()  # nothing is left that fails when the process ends
        assert "No space left on device" in capsys.readouterr().err


def test_any_text_can_be_printed(command, monkeypatch):
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    monkeypatch.setattr("sys.stdout", narrow)
    assert command(lambda args: print("caf\u00e9 \u2028 \ud800!") or 0) == 0
    narrow.flush()
    assert raw.getvalue() == b"caf? ? ?!\n" and narrow.errors == "strict"


def test_the_standard_input(monkeypatch):
    for content, text in ((b"caf\xc3\xa9\r\n", "caf\u00e9\r\n"), (b"", "")):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))
        assert streams.read_input() == text
    monkeypatch.setattr("sys.stdin", io.StringIO("as it is"))
    assert streams.read_input() == "as it is"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9"), encoding="utf-8"))
    with pytest.raises(RequestError, match="prompt: the standard input is not UTF-8 at byte 3"):
        streams.read_input()
    for closed in (None, io.StringIO()):
        if closed:
            closed.close()
        monkeypatch.setattr("sys.stdin", closed)
        with pytest.raises(RequestError, match="prompt: the standard input is closed"):
            streams.read_input()


def test_closed_descriptors_are_no_ones_file():
    """A file that is opened next must not become standard output, where libraries print."""
    code = "import os, sys; from mindcold.cli import streams\nwith streams.sound(): sys.stderr.isatty()\n"
    code += "assert os.open('/dev/null', os.O_RDONLY) > 2"
    command = ["/bin/sh", "-c", f'exec "{sys.executable}" -c "$0" <&- >&- 2>&-', code]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_a_closed_standard_output_is_one_line(command, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert command(lambda args: 0) == 0
    monkeypatch.setattr("sys.stdout", None)
    assert command(lambda args: print("x") or 0) == 1
    assert capsys.readouterr().err == "mindcold echo: error: standard output: closed\n"


def test_arguments_are_utf8_in_any_locale(monkeypatch):
    assert streams.as_typed("caf\u00e9") == "caf\u00e9"
    assert streams.as_typed("caf\udcc3\udca9") == "caf\u00e9"  # as an ASCII locale reads it
    assert streams.as_typed("caf\udce9") == "caf\udce9" and streams.as_typed("\ud800") == "\ud800"


def test_a_removed_working_folder_is_one_line(command, capsys, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert command(lambda args: 0) == 1
    assert capsys.readouterr().err == "mindcold echo: error: the working folder was removed; change to another one\n"


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("info", "bench")])
def test_an_empty_path_is_refused_by_name(capsys, name):
    flag = [] if name == "convert" else ["--output" if name != "generate" else "--save-drafts"]
    first = ["a.gguf"] if name == "convert" else []
    assert main([name, *first, *flag, ""]) == 1
    says = f"mindcold {name}: error: {flag[0] if flag else 'folder'}: a path is expected, found ''\n"
    assert capsys.readouterr().err == says


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"caf\xe9", "prompt.txt: line 1: not UTF-8"),
        (b"a\n\xff", "prompt.txt: line 2: not UTF-8"),
        (None, "prompt.txt: No such file or directory"),
    ],
)
def test_prompt_files(capsys, tmp_path, content, says):
    path = tmp_path / "prompt.txt"
    if content is not None:
        path.write_bytes(content)
    for flag in ("--prompt-file",):
        assert main(["generate", "--model", "tiny-base", flag, str(path)]) == 1
        err = capsys.readouterr().err
        assert says in err and err.count("\n") == 1


def test_half_of_a_surrogate_pair_is_no_prompt(capsys):
    for flags in (
        ["--prompt", "a \udce9"],
        ["--prompt", "a", "--stop-string", "\ud800"],
        ["--prompt", "a", "--keywords", "\ud800a"],
    ):
        assert main(["generate", "--model", "tiny-base", "--max-new-tokens", "2", *flags]) == 1
        err = capsys.readouterr().err
        assert err.startswith("mindcold generate: error: ") and err.count("\n") == 1


def test_what_was_learned_is_kept_where_it_cannot_be_printed(capsys, tmp_path, monkeypatch):
    flags = ["--model", "tiny-base", "--ids", "5,6", "--draft", "trigram", "--max-new-tokens", "4"]
    for i, more in enumerate(([], ["--json"])):
        saved = tmp_path / f"{i}.safetensors"
        with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
            monkeypatch.setattr("sys.stdout", full)
            assert main(["generate", *flags, *more, "--save-drafts", str(saved)]) == 1
        assert saved.is_file() and "No space left on device" in capsys.readouterr().err


def test_drafts_replace_drafts_alone(capsys, tmp_path):
    flags = ["generate", "--model", "tiny-base", "--ids", "5,6", "--draft", "trigram", "--max-new-tokens", "2"]
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    before = sorted(tmp_path.iterdir())
    places = [
        tmp_path / name
        for name in ("notes.txt", "folder", "empty", "pipe", "nowhere", "none/a", "notes.txt/a", "a" * 300)
    ]
    for place in (*places, "/dev/null", "/dev/full"):
        assert main([*flags, "--save-drafts", str(place)]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("mindcold generate: error: ") and err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "notes.txt").read_text() == "mine"
    for _ in range(2):
        assert main([*flags, "--json", "--save-drafts", str(tmp_path / "drafts")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["token_ids"]
    assert main([*flags, "--load-drafts", str(tmp_path / "pipe")]) == 1
