"""`mindcold compare`: every method with every draft on the same items."""

import argparse

from mindcold.cli import task_data
from mindcold.cli.evaluate import add_result_arguments, measure
from mindcold.tasks.methods import parse_methods, presets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    task_data.add_arguments(parser, limit=20)
    parser.add_argument("--draft", help="model folder or name that drafts, with the model's vocabulary")
    parser.add_argument("--draft-adapter", help="adapter of the model that drafts")
    parser.add_argument(
        "--methods", default="all", help="all (default) that can run here, or some as `mindcold evaluate` takes them"
    )
    add_result_arguments(parser, "compare")


def run(args: argparse.Namespace) -> int:
    """Measure and print; the first method, greedy, is what the others are compared with."""
    given = None if args.methods == "all" else parse_methods(args.methods)

    def methods(items):
        constrained = any(item.constraint is not None for item in items)
        return given or presets(args.adapter is not None, constrained, args.draft, args.draft_adapter)

    return measure(args, methods, "compare", details=True)
