"""What a boot file does: parameters to flags, folders to files, nothing written outside of the output folder."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mindcold.cli import COMMANDS, main
from mindcold.errors import JobError, MindcoldError, one_line
from mindcold.modelarts import arguments, folders
from mindcold.modelarts.arguments import Arguments

RESPONSES = "responses.jsonl"
WORK = "run"
"""Folder below the output for what MindSpore, the compiler and matplotlib leave."""

_PATHS = ("data", "held-out", "input", "output", "tokenizer", "config")


def boot(command: str, argv: Sequence[str]) -> int:
    """Run `mindcold train` or `mindcold batch` as a job; the exit code of the command.

    75 is that of a job that was pre-empted and goes on when it is started again.
    """
    parser = argparse.ArgumentParser()
    importlib.import_module(COMMANDS[command][0]).add_arguments(parser)
    try:
        found = arguments.read(command, parser, argv, os.environ)
        resolve(found)
        _move_to_output(found, command)
    except MindcoldError as error:
        print(f"mindcold {command}: error: {one_line(error, limit=None)}", file=sys.stderr)
        return 1
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return main([command, *found.command_line()])


def resolve(found: Arguments) -> None:
    """Make paths absolute, and name the files in the folders that were given."""
    values = found.values
    for flag in _PATHS:
        if flag in values:
            values[flag] = [str(Path(item or "").absolute()) for item in values[flag]]
    if any(values.get("tensorboard", ())):
        values["tensorboard"] = [str(Path(item or "").absolute()) for item in values["tensorboard"]]
    for flag in ("model", "adapter"):
        if flag in values:
            values[flag] = [_model(item or "") for item in values[flag]]
    if "data" in values:
        data = Path(values["data"][-1] or "")
        beside = folders.held_out_file(data)
        values["data"] = [str(folders.training_file(data))]
        if beside is not None and "held-out" not in values:
            values["held-out"] = [str(beside)]
    for flag in ("held-out", "input"):
        if flag in values:
            values[flag] = [str(folders.only_file(Path(values[flag][-1] or "")))]


def _model(value: str) -> str:
    """A folder, or NAME=DIR, with the absolute folder that holds the model; a name of the zoo as it is."""
    name, equals, path = value.rpartition("=")
    if not Path(path).exists():
        return value
    return f"{name}{equals}{folders.model_folder(Path(path).absolute())}"


def _move_to_output(found: Arguments, command: str) -> None:
    """Make the output folder the place for everything that the process leaves."""
    if "output" not in found.values:
        return
    folder = Path(found.values["output"][-1] or "")
    if command == "batch":
        if "output" in found.folders or folder.is_dir():
            found.values["output"] = [str(folder / RESPONSES)]
        else:
            folder = folder.parent
    work = folder / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JobError(f"--output: {error.filename}: {error.strerror}") from None
    for name in ("MINDCOLD_CACHE", "MPLCONFIGDIR"):
        os.environ.setdefault(name, str(work / "cache"))
    sys.dont_write_bytecode = True
    os.chdir(work)
