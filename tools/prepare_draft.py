"""Let a model write what a drafting model is to learn: python tools/prepare_draft.py commongen train.txt texts.jsonl.

Writes {"prompt", "completion"} a line for `mindcold train --draft-of`: the own greedy text of the model for `--count`
items of the part of the data that `mindcold evaluate --split validation` leaves out. A draft learns what it has to
foresee, which is not what people would have written (distillation by the target's outputs, as in arXiv 2310.08461).
"""

import argparse
import json
import sys
from pathlib import Path

import mindcold
from mindcold.errors import MindcoldError
from mindcold.files import write_text
from mindcold.tasks import TASKS, TaskError, find_task, read_items

TOGETHER = 16


def prepare(args: argparse.Namespace) -> int:
    """Write the texts and return how many."""
    if args.count < 1 or args.seed < 0:
        raise TaskError(f"--count and --seed: positive numbers are expected, found {args.count} and {args.seed}")
    task = find_task(args.task)
    items = read_items(task, args.data, limit=args.count, split=args.split, seed=args.seed)
    llm = mindcold.load(args.model, args.adapter, max_batch=TOGETHER)
    chat = not args.plain
    requests = [
        mindcold.Request(item.message(chat), args.method, max_new_tokens=args.max_new_tokens or task.max_new_tokens)
        for item in items
    ]
    outs = llm.generate(requests, progress=True)
    assert llm.tokenizer is not None
    lines = []
    for item, out in zip(items, outs, strict=True):
        prompt = item.message(chat)
        text = prompt if isinstance(prompt, str) else llm.tokenizer.render_chat(prompt)
        if out.finish_reason == "stop" and out.text:
            lines.append(json.dumps({"prompt": text, "completion": out.text}, ensure_ascii=False))
    write_text(args.output, "\n".join(lines) + "\n")
    return len(lines)


def main() -> int:
    """Read the command line; errors are one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    parser.add_argument("data", type=Path, help="file in the task's public format")
    parser.add_argument("output", type=Path, help="JSON Lines file to write")
    parser.add_argument("--model", default="smollm2-135m", help="the model that is drafted for")
    parser.add_argument("--adapter", help="its adapter")
    parser.add_argument("--method", default="greedy", help="what it writes by (default greedy)")
    parser.add_argument("--plain", action="store_true", help="no chat template")
    parser.add_argument("--count", type=int, default=4000, help="items (default 4000)")
    parser.add_argument("--max-new-tokens", type=int, help="default the task's")
    parser.add_argument("--split", default="train", help="train (default), validation or all")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        print(f"{args.output}: {prepare(args)} texts")
    except MindcoldError as error:
        print(f"prepare_draft: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
