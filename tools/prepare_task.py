"""Turn a task's data into training pairs: python tools/prepare_task.py commongen train.txt pairs.jsonl --model M.

Writes {"prompt", "completion"} a line for `mindcold train`: prompts through the model's chat template, `--count` pairs
drawn by `--seed` from the part of the data that `mindcold evaluate --split validation` leaves out. Pairs that do not
fit `--sequence-length` are left out, since `mindcold train` refuses them.
"""

import argparse
from typing import Any

import numpy as np
from training_pairs import pairs_parser, write_pairs

from mindcold.model_folder import find_folder
from mindcold.tasks import TaskError, find_task, read_items
from mindcold.tokenizer import Tokenizer


def prepare(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The pairs that are drawn."""
    tokenizer = Tokenizer(find_folder(args.model))
    items = read_items(find_task(args.task), args.data, split=args.split, seed=args.seed)
    prompts = [item.message(chat=not args.plain) for item in items]
    texts = [prompt if isinstance(prompt, str) else tokenizer.render_chat(prompt) for prompt in prompts]
    pairs = [(text, answer) for text, item in zip(texts, items, strict=True) for answer in item.answers]
    if args.sequence_length is not None:
        pairs = [pair for pair in pairs if len(tokenizer.encode("".join(pair))) <= args.sequence_length]
    if len(pairs) < args.count:
        raise TaskError(f"{args.data}: {len(pairs)} such pairs in the split {args.split!r}, {args.count} are asked for")
    drawn = np.random.default_rng(args.seed).choice(len(pairs), args.count, replace=False)
    return [{"prompt": pairs[i][0], "completion": pairs[i][1]} for i in drawn]


if __name__ == "__main__":
    parser = pairs_parser(__doc__, 1000, "pairs")
    parser.add_argument("--sequence-length", type=int, help="tokens of the longest pair (default: any)")
    raise SystemExit(write_pairs(parser.parse_args(), prepare))
