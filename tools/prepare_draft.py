"""Let a model write what a drafting model is to learn: python tools/prepare_draft.py commongen train.txt texts.jsonl.

Writes {"prompt", "completion"} a line for `mindcold train --draft-of`: the own greedy text of the model (with
`--method beam` all its beams) for `--count` items of the part of the data that `mindcold evaluate --split validation`
leaves out. A draft learns what it has to foresee, which is not what people would have written (distillation by the
target's outputs, as in arXiv 2310.08461).
"""

import argparse

from training_pairs import pairs_parser, write_pairs

import mindcold
from mindcold.tasks import find_task, read_items

TOGETHER = 16


def prepare(args: argparse.Namespace) -> list[tuple[str, str]]:
    """What the model writes, as far as it comes to an end; of beams every text."""
    task = find_task(args.task)
    items = read_items(task, args.data, limit=args.count, split=args.split, seed=args.seed)
    llm = mindcold.load(args.model, args.adapter, max_batch=TOGETHER)
    prompts = [item.message(chat=not args.plain) for item in items]
    limit = args.max_new_tokens or task.max_new_tokens
    requests = [mindcold.Request(prompt, args.method, max_new_tokens=limit) for prompt in prompts]
    outs = llm.generate(requests, progress=True)
    assert llm.tokenizer is not None
    texts = [prompt if isinstance(prompt, str) else llm.tokenizer.render_chat(prompt) for prompt in prompts]
    written = [(prompt, found) for prompt, out in zip(texts, outs, strict=True) for found in out.ranked or [out]]
    ends = llm.config.eos_token_ids
    return [(prompt, found.text) for prompt, found in written if found.text and found.token_ids[-1] in ends]


if __name__ == "__main__":
    parser = pairs_parser(__doc__, 4000, "items")
    parser.add_argument("--adapter", help="the model's adapter")
    parser.add_argument("--method", default="greedy", help="what it writes by (default greedy)")
    parser.add_argument("--max-new-tokens", type=int, help="default the task's")
    raise SystemExit(write_pairs(parser.parse_args(), prepare))
