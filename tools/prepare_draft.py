"""Let a model write what a drafting model is to learn: python tools/prepare_draft.py commongen train.txt texts.jsonl.

Writes {"prompt", "completion"} a line for `mindcold train --draft-of`: the own greedy text of the model (with
`--method sample` a drawn one, with `--method beam` all its beams) for `--count` items of the part of the data that
`mindcold evaluate --split validation` leaves out. A draft learns what it has to foresee, which is not what people would
have written (distillation by the target's outputs, DistillSpec, arXiv 2310.08461). With `--top-logprobs N` a line also
has what the model held likely at each token of the completion and at its end, which teaches more than the token alone.
"""

import argparse
from typing import Any

from training_pairs import pairs_parser, write_pairs

import mindcold
from mindcold.tasks import find_task, read_items
from mindcold.training.reading import TextEncoder

TOGETHER = 16


def prepare(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What the model writes, as far as it comes to an end; of beams every text.

    With log-probabilities only what is read as the tokens that were written: they go with these.
    """
    task = find_task(args.task)
    items = read_items(task, args.data, limit=args.count, split=args.split, seed=args.seed)
    llm = mindcold.load(args.model, args.adapter, max_batch=TOGETHER)
    prompts = [item.message(chat=not args.plain) for item in items]
    options = {"max_new_tokens": args.max_new_tokens or task.max_new_tokens, "top_logprobs": args.top_logprobs}
    outs = llm.generate([mindcold.Request(prompt, args.method, **options) for prompt in prompts], progress=True)
    assert llm.tokenizer is not None
    texts = [prompt if isinstance(prompt, str) else llm.tokenizer.render_chat(prompt) for prompt in prompts]
    ends = llm.config.eos_token_ids
    encoder = TextEncoder(llm.tokenizer, ends[0], llm.config.bos_token_id)
    found: list[dict[str, Any]] = []
    for prompt, out in zip(texts, outs, strict=True):
        for written in out.ranked or [out]:
            if not written.text or written.token_ids[-1] not in ends:
                continue
            pair: dict[str, Any] = {"prompt": prompt, "completion": written.text}
            if args.top_logprobs:
                example = encoder.completion(prompt, written.text)
                read = [token for token, learned in zip(example.tokens, example.learned, strict=True) if learned]
                if read[:-1] != written.token_ids[:-1]:
                    continue
                pair["top_logprobs"] = [[(i, round(value, 4)) for i, value in place] for place in out.top_logprobs]
            found.append(pair)
    return found


if __name__ == "__main__":
    parser = pairs_parser(__doc__, 4000, "items")
    parser.add_argument("--adapter", help="the model's adapter")
    parser.add_argument("--method", default="greedy", help="what it writes by (default greedy)")
    parser.add_argument("--max-new-tokens", type=int, help="default the task's")
    parser.add_argument("--top-logprobs", type=int, default=0, help="likely tokens of each place (default none)")
    raise SystemExit(write_pairs(parser.parse_args(), prepare))
