"""The `mindcold` command."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mindcold import __version__
from mindcold.cli import interrupt, streams
from mindcold.errors import MindcoldError, one_line

COMMANDS = {
    "generate": ("mindcold.cli.generate", "decode a prompt with a model and an adapter"),
    "batch": ("mindcold.cli.batch", "decode a file of prompts; a job that was stopped goes on"),
    "train": ("mindcold.training.cli", "train a model, or a LoRA adapter for one"),
    "bench": ("mindcold.cli.bench", "measure ways of decoding beside each other"),
    "evaluate": ("mindcold.cli.evaluate", "compare decoding methods on a public task"),
    "compare": ("mindcold.cli.compare", "run every method and draft side by side on the same items"),
    "tune": ("mindcold.cli.tune", "choose decoding settings for an adapter on a validation split"),
    "warm-drafts": ("mindcold.cli.warm_drafts", "fill draft tables with texts the model itself writes"),
    "convert": ("mindcold.cli.convert", "turn a GGUF file into a HuggingFace model folder"),
    "convert-adapter": ("mindcold.cli.convert_adapter", "write a LoRA adapter as PEFT or MindFormers name it"),
    "info": ("mindcold.cli.info", "show a model folder, the operators and what can run here"),
}
"""Command name to the module with its `add_arguments(parser)` and `run(args) -> exit code`, and its one-line help."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """What is wrong with a flag, in one line."""
        self.exit(2, f"{self.prog}: error: {one_line(message)}; --help lists the flags\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors a user can cause end in one line on stderr and exit code 1."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = " ".join(["mindcold", *(item for item in arguments[:1] if item in COMMANDS)])
    try:
        with interrupt.heeded(name), streams.sound():
            try:
                code = _run(arguments)
                streams.flush()
                return code
            except BrokenPipeError:
                streams.give_up()
                return 1
            except (MindcoldError, OSError, MemoryError, RecursionError) as error:
                streams.give_up()
                print(f"{name}: error: {_reason(error)}", file=sys.stderr)
                return 1
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return interrupt.CODE


def _run(arguments: list[str]) -> int:
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's warnings are for its developers
    parser = _Parser(prog="mindcold", description="Contrastive LoRA decoding for MindSpore.")
    parser.add_argument("--version", action="version", version=f"mindcold {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name in arguments[:1]:  # the other commands' modules are not needed
            importlib.import_module(module).add_arguments(command)
    for flag in (item.removesuffix("=--") for item in arguments if item.startswith("--") and item.endswith("=--")):
        raise MindcoldError(f"{flag}: a value is expected, found '--'")  # which argparse takes for no value at all
    args = parser.parse_args(arguments)
    _check_working_folder()
    return importlib.import_module(COMMANDS[args.command][0]).run(args)


def _check_working_folder() -> None:
    """Refuse to work in a folder that is gone; MindSpore could not even be imported."""
    try:
        Path.cwd()
    except OSError:
        raise MindcoldError("the working folder was removed; change to another one") from None


def _reason(error: Exception) -> str:
    if isinstance(error, MindcoldError):
        return one_line(error, limit=None)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{one_line(error.filename)}: {one_line(error.strerror)}"
    if isinstance(error, (MemoryError, RecursionError)):
        return "out of memory" if isinstance(error, MemoryError) else "the input is nested too deep"
    return one_line(error)
