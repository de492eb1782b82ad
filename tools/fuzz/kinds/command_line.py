"""Command lines of every command: flags without sense, values out of bounds, places that cannot be."""

import argparse
import contextlib
import importlib
import io
import os
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from mindcold.cli import COMMANDS, main
from mindcold.errors import MindcoldError

KIND = "command line"

_PLACES = st.sampled_from(
    [
        "",
        "/dev/full",
        "/dev/null",
        "/dev/null/below",
        "/proc/new",
        "n" * 300,
        "n/" * 3000,
        "missing",
        ".",
        "/",
        "missing/a",
    ]
)
_WORDS = st.sampled_from(
    ["-1", "0", "nan", "inf", "1e400", "9" * 5000, "true", "\udce9", "a\nb", "--", "-", "[" * 99_999]
)
_VALUES = _PLACES | _WORDS | st.text(max_size=6).filter(lambda text: "\0" not in text)


_NUMBERS = st.sampled_from(["-1", "0", "1", "2", "0.5", "nan", "inf", "1e400", "9" * 30, "1,2", "0.1,x"])


@cache
def _flags(command: str) -> dict[tuple[str, ...], dict[str, argparse.Action]]:
    """The flags of a command and of each that it has below it; but for those that stand for a model."""
    parser = argparse.ArgumentParser(add_help=False)
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    every: dict[tuple[str, ...], argparse.ArgumentParser] = {(): parser}
    every |= {(name,): each for action in parser._actions for name, each in _subparsers(action).items()}
    return {
        names: {
            flag: action
            for flag, action in each._option_string_actions.items()
            if flag not in ("--model", "--draft-of", "--merge", "-h", "--help")
        }
        for names, each in every.items()
    }


def _subparsers(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    return dict(action.choices) if isinstance(action, argparse._SubParsersAction) else {}


def _given(flag: str, action: argparse.Action) -> st.SearchStrategy[list[str]]:
    """A flag with its value, mostly of its type."""
    if action.nargs == 0:
        return st.just([flag])
    likely = st.sampled_from(list(action.choices)) if action.choices else _NUMBERS if action.type else _VALUES
    return st.one_of(likely, likely, likely, _VALUES).map(lambda value: [f"{flag}={value}"])


@st.composite
def _lines(draw: Any) -> list[str]:
    command = draw(st.sampled_from(sorted(COMMANDS) * 4 + ["surprise"]))
    if command == "surprise":
        return [command, *draw(st.lists(_VALUES, max_size=2))]
    names, flags = draw(st.sampled_from(sorted(_flags(command).items(), key=lambda item: item[0])))
    line = [command, *names, *draw(st.lists(_VALUES, max_size=2 if command == "convert" else 0))]
    if command != "convert":
        line += ["--model", draw(st.just("nowhere") | _VALUES)]
    if command == "generate":
        line += draw(
            st.sampled_from([["--ids", "5"], ["--prompt", "\udce9"], ["--prompt", "-"], ["--prompt-file", "a"]])
        )
    some = draw(st.lists(st.sampled_from(sorted(flags)), max_size=3)) if flags else []
    for name in [*(flag for flag, action in flags.items() if action.required), *some]:
        line += draw(_given(name, flags[name]))
    return line


def strategy() -> st.SearchStrategy[Any]:
    """The arguments of one command, whose model is not there."""
    return _lines()


def run(case: Any) -> None:
    """Run it as the shell does; more than one line on standard error is a fault."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _no_input():
        try:
            code = main(list(case))
        except SystemExit as ended:
            code = int(ended.code or 0)
    if code == 0:
        return
    says = err.getvalue()
    assert says.count("\n") == 1 and says.endswith("\n") and "Traceback" not in says, says[-2000:]
    assert not out.getvalue(), out.getvalue()[:200]
    raise MindcoldError(says[:900].strip().encode("ascii", "backslashreplace").decode())


@contextlib.contextmanager
def _no_input() -> Any:
    import sys

    before = sys.stdin
    with Path(os.devnull).open() as sys.stdin:
        try:
            yield
        finally:
            sys.stdin = before
