"""`mindcold generate`: decode one prompt."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mindcold.errors import RequestError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags; decoding keywords have the names of the Python interface."""
    parser.add_argument("--model", required=True, help="HuggingFace model folder, or a name from the model zoo")
    parser.add_argument("--adapter", help="PEFT adapter folder, or a name from the model zoo")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", help="prompt text; - reads standard input")
    prompt.add_argument("--prompt-file", type=Path, help="file with the prompt text")
    prompt.add_argument("--chat", metavar="TEXT", help="a user message, put through the model's chat template")
    prompt.add_argument("--ids", help="prompt as comma-separated token ids")
    parser.add_argument("--method", default="greedy", help="greedy, sample, cold, aded, cdlh or cdsl (default greedy)")
    parser.add_argument("--alpha", type=float, help="CoLD: plausibility cut in (0, 1] (default 0.1)")
    parser.add_argument("--beta", type=float, help="CoLD: strength of the contrast, >= 0 (default 0.5)")
    parser.add_argument(
        "--draft", help="drafter: none or trigram; for cdsl also base or a model (default the method's own)"
    )
    parser.add_argument("--draft-tokens", type=int, help="size of every draft tree (default by what it gains)")
    parser.add_argument("--search", help="of the trigram tree: best_first (default) or mcts")
    parser.add_argument("--adaptation", help="of the trigrams: decay (default) or aded, as published")
    parser.add_argument("--seed-drafts", type=Path, metavar="FILE", help="text to fill the trigrams from, line by line")
    parser.add_argument("--load-drafts", type=Path, metavar="FILE", help="trigrams that --save-drafts wrote")
    parser.add_argument("--save-drafts", type=Path, metavar="FILE", help="write what the trigrams know at the end")
    parser.add_argument("--keywords", help="comma-separated words the text should hold, in any form and order")
    parser.add_argument("--forbidden", help="comma-separated phrases it should not hold")
    parser.add_argument("--regex", help="regular expression the whole text has to match")
    parser.add_argument("--score", help="of beam, cdlh and cdsl: plain (default) or contrastive")
    parser.add_argument("--num-beams", type=int, help="sequences beam follows (default 4)")
    parser.add_argument("--length-penalty", type=float, help="beam divides by the length to this power (default 1)")
    parser.add_argument("--lookahead", type=int, help="tokens cdlh and cdsl look ahead (default 8)")
    parser.add_argument("--candidates", type=int, help="best tokens they choose from (default 16)")
    parser.add_argument("--reward-weight", type=float, help="what a reward of 1 counts beside the log-probability")
    parser.add_argument("--tau-a", type=float, help="cdsl: share of the draft the target has to agree with")
    parser.add_argument("--tau-r", type=float, help="cdsl: reward the draft has to reach")
    parser.add_argument("--max-new-tokens", type=int, help="token budget (default 64)")
    parser.add_argument("--min-new-tokens", type=int, help="no end of text before this many tokens")
    parser.add_argument("--do-sample", action="store_true", default=None, help="draw instead of taking the best token")
    parser.add_argument("--temperature", type=float, help="of the draw (default 1)")
    parser.add_argument("--top-k", type=int, help="draw among the k best tokens")
    parser.add_argument("--top-p", type=float, help="draw among the best tokens with this much probability")
    parser.add_argument("--min-p", type=float, help="drop tokens below this share of the best one's probability")
    parser.add_argument("--repetition-penalty", type=float, help="divide the scores of seen tokens by this")
    parser.add_argument("--seed", type=int, help="seed of the draw (default 0)")
    parser.add_argument("--eos-token-id", help="end-of-text id or ids, comma-separated; -1 for none")
    parser.add_argument("--stop-string", action="append", dest="stop_strings", help="end after this text; repeatable")
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or int8 (how the base weights are kept)"
    )
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, aot or builtin")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


OPTIONS = (
    *("alpha", "beta", "max_new_tokens", "min_new_tokens", "do_sample", "temperature", "top_k", "top_p", "min_p"),
    *("repetition_penalty", "seed", "stop_strings", "draft", "draft_tokens", "search", "adaptation"),
    *("num_beams", "length_penalty", "score", "lookahead", "candidates", "reward_weight", "tau_a", "tau_r"),
)


def run(args: argparse.Namespace) -> int:
    """Decode and print: text as it comes, or one JSON object with --json."""
    prompt = _prompt(args)
    options = {name: value for name in OPTIONS if (value := getattr(args, name)) is not None}
    if args.eos_token_id is not None:
        options["eos_token_id"] = _integers(args.eos_token_id, "--eos-token-id")
    options |= _constraints(args)
    from mindcold.llm import load

    llm = load(args.model, args.adapter, dtype=args.dtype, backend=args.backend)
    if args.seed_drafts:
        llm.seed_drafts(line for line in _read(args.seed_drafts).splitlines() if line)
    if args.load_drafts:
        llm.load_drafts(args.load_drafts)
    if args.json:
        print(json.dumps(llm.generate(prompt, args.method, **options).to_dict()))
    else:
        for token in llm.stream(prompt, args.method, **options):
            print(token.text if llm.tokenizer else f"{token.id} ", end="", flush=True)
        print()
    if args.save_drafts:
        llm.save_drafts(args.save_drafts)
    return 0


def _prompt(args: argparse.Namespace) -> Any:
    if args.ids is not None:
        return _integers(args.ids, "--ids")
    if args.chat is not None:
        return [{"role": "user", "content": args.chat}]
    if args.prompt_file is None:
        text = sys.stdin.read() if args.prompt == "-" else args.prompt
    else:
        text = _read(args.prompt_file)
    if not text:
        raise RequestError("prompt: empty; give at least one character")
    return text


def _constraints(args: argparse.Namespace) -> dict[str, Any]:
    from mindcold.constraints import Forbidden, Keywords, Regex

    found: list[Any] = []
    for kind, text in ((Keywords, args.keywords), (Forbidden, args.forbidden)):
        if text is not None:
            found.append(kind([word.strip() for word in text.split(",") if word.strip()]))
    if args.regex is not None:
        found.append(Regex(args.regex))
    return {"constraint": found} if found else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _integers(text: str, flag: str) -> list[int]:
    try:
        return [int(item) for item in text.split(",") if item.strip()]
    except ValueError:
        raise RequestError(f"{flag}: comma-separated integers are expected, found {text[:80]!r}") from None
