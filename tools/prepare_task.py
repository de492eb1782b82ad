"""Turn a task's data into training pairs: python tools/prepare_task.py commongen train.txt pairs.jsonl --model M.

Writes {"prompt", "completion"} a line for `mindcold train`: prompts through the model's chat template, `--count` pairs
drawn by `--seed` from the part of the data that `mindcold evaluate --split validation` leaves out. Pairs that do not
fit `--sequence-length` are left out, since `mindcold train` refuses them.
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
    prompts = [item.message(chat=not args.plain) for item in items]
    texts = [prompt if isinstance(prompt, str) else tokenizer.render_chat(prompt) for prompt in prompts]
    pairs = [(text, answer) for text, item in zip(texts, items, strict=True) for answer in item.answers]
    if args.sequence_length is not None:
        pairs = [pair for pair in pairs if len(tokenizer.encode("".join(pair))) <= args.sequence_length]
    if len(pairs) < args.count:
        raise TaskError(f"{args.data}: {len(pairs)} such pairs in the split {args.split!r}, {args.count} are asked for")
    chosen = np.random.default_rng(args.seed).choice(len(pairs), args.count, replace=False)
    chosen_pairs = [pairs[i] for i in chosen]
    lines = [json.dumps({"prompt": text, "completion": answer}, ensure_ascii=False) for text, answer in chosen_pairs]
    partial = args.output.with_name(f"partial-{args.output.name}")
    try:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
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
    parser.add_argument("--sequence-length", type=int, help="tokens of the longest pair (default: any)")
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
