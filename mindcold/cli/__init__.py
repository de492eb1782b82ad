"""The `mindcold` command."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from mindcold import __version__
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors a user can cause end in one line on stderr and exit code 1."""
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's warnings are for its developers
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="mindcold", description="Contrastive LoRA decoding for MindSpore.")
    parser.add_argument("--version", action="version", version=f"mindcold {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name in arguments[:1]:  # the other commands' modules are not needed
            importlib.import_module(module).add_arguments(command)
    args = parser.parse_args(arguments)
    try:
        return importlib.import_module(COMMANDS[args.command][0]).run(args)
    except MindcoldError as error:
        print(f"mindcold {args.command}: error: {one_line(error, limit=None)}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print(f"mindcold {args.command}: stopped", file=sys.stderr)
        return 130
