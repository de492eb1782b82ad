"""Turn a task's data into training pairs: python tools/prepare_task.py commongen train.txt pairs.jsonl --model M.

Writes {"prompt", "completion"} a line for `mindcold train`: prompts through the model's chat template, `--count` pairs
drawn by `--seed` from the part of the data that `mindcold evaluate --split validation` leaves out.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from mindcold.errors import MindcoldError
from mindcold.model_folder import find_folder
from mindcold.tasks import TASKS, TaskError, find_task, read_items
from mindcold.tokenizer import Tokenizer


def prepare(args: argparse.Namespace) -> int:
    """Write the pairs and return how many."""
    if args.count < 1 or args.seed < 0:
        raise TaskError(f"--count and --seed: positive numbers are expected, found {args.count} and {args.seed}")
    tokenizer = Tokenizer(find_folder(args.model))
    items = read_items(find_task(args.task), args.data, split=args.split, seed=args.seed)
    pairs = [(item, answer) for item in items for answer in item.answers]
    if len(pairs) < args.count:
        raise TaskError(f"{args.data}: {len(pairs)} pairs in the split {args.split!r}, {args.count} are asked for")
    chosen = np.random.default_rng(args.seed).choice(len(pairs), args.count, replace=False)
    lines = []
    for i in chosen:
        item, answer = pairs[i]
        message = item.message(chat=not args.plain)
        text = message if isinstance(message, str) else tokenizer.render_chat(message)
        lines.append(json.dumps({"prompt": text, "completion": answer}, ensure_ascii=False) + "\n")
    partial = args.output.with_name(f"partial-{args.output.name}")
    try:
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(args.output)
    except OSError as error:
        raise TaskError(f"{args.output}: {error.strerror}") from None
    return len(lines)


def main() -> int:
    """Read the command line; errors are one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("data", type=Path, help="file in the task's public format")
    parser.add_argument("output", type=Path, help="JSON Lines file to write")
    parser.add_argument("--model", default="smollm2-135m", help="model whose chat template is used")
    parser.add_argument(
        "--plain", action="store_true", help="no chat template; a line break ends the prompts of public tasks"
    )
    parser.add_argument("--count", type=int, default=1000, help="pairs (default 1000)")
    parser.add_argument("--split", default="train", help="train (default), validation or all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        print(f"{args.output}: {prepare(args)} pairs")
    except MindcoldError as error:
        print(f"prepare_task: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
