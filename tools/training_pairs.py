"""What the tools have in common that write {"prompt", "completion"} a line for `mindcold train` from a task's data."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mindcold.errors import MindcoldError
from mindcold.files import write_text
from mindcold.tasks import TASKS, TaskError


def pairs_parser(doc: str, count: int, of: str) -> argparse.ArgumentParser:
    """The command line: task, data, output, model, and which part of the data; `count` of them by default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("data", type=Path, help="file in the task's public format")
    parser.add_argument("output", type=Path, help="JSON Lines file to write")
    parser.add_argument("--model", default="smollm2-135m", help="model whose chat template is used")
    parser.add_argument(
        "--plain", action="store_true", help="no chat template; a line break ends the prompts of public tasks"
    )
    parser.add_argument("--count", type=int, default=count, help=f"{of} (default {count})")
    parser.add_argument("--split", default="train", help="train (default), validation or all")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def write_pairs(args: argparse.Namespace, prepare: Callable[[argparse.Namespace], Sequence[dict[str, Any]]]) -> int:
    """Write what `prepare` gives, in one piece; errors are one line and exit code 1."""
    try:
        if args.count < 1 or args.seed < 0:
            raise TaskError(f"--count and --seed: positive numbers are expected, found {args.count} and {args.seed}")
        pairs = prepare(args)
        lines = [json.dumps(pair, ensure_ascii=False) for pair in pairs]
        write_text(args.output, "".join(f"{line}\n" for line in lines))
    except MindcoldError as error:
        print(f"{Path(sys.argv[0]).stem}: error: {error}", file=sys.stderr)
        return 1
    print(f"{args.output}: {len(pairs)} pairs")
    return 0
