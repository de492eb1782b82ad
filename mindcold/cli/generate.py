"""`mindcold generate`: decode one prompt."""

import argparse
import json
from typing import Any

from mindcold.cli import params, streams
from mindcold.errors import RequestError
from mindcold.text_files import read_lines, read_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags; decoding keywords have the names of the Python interface."""
    parser.add_argument("--model", required=True, help="HuggingFace model folder, or a name from the model zoo")
    parser.add_argument("--adapter", help="PEFT adapter folder, or a name from the model zoo")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", help="prompt text; - reads standard input")
    prompt.add_argument("--prompt-file", action=params.AsPath, help="file with the prompt text")
    prompt.add_argument("--chat", metavar="TEXT", help="a user message, put through the model's chat template")
    prompt.add_argument("--ids", help="prompt as comma-separated token ids")
    parser.add_argument(
        "--method",
        help="greedy, sample, cold, aded, pmpd, beam, best_of, cdlh or cdsl (default the adapter's own, else greedy)",
    )
    parser.add_argument(
        "--warm-drafts", action=params.AsPath, metavar="FILE", help="text to fill the trigrams from, line by line"
    )
    parser.add_argument("--load-drafts", action=params.AsPath, metavar="FILE", help="trigrams that --save-drafts wrote")
    parser.add_argument(
        "--save-drafts", action=params.AsPath, metavar="FILE", help="write what the trigrams know at the end"
    )
    parser.add_argument("--keywords", help="comma-separated words the text should hold, in any form and order")
    parser.add_argument("--forbidden", help="comma-separated phrases it should not hold")
    parser.add_argument("--regex", help="regular expression the whole text has to match")
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or int8 (how the base weights are kept)"
    )
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, or a name from `mindcold info`")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    params.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Decode and print: text as it comes, or one JSON object with --json."""
    prompt = _prompt(args)
    if args.save_drafts:
        from mindcold.drafting.trigram import check_target

        check_target(args.save_drafts)
    options = params.keywords(args) | _constraints(args)
    from mindcold.llm import load

    llm = load(args.model, args.adapter, dtype=args.dtype, backend=args.backend)
    if args.warm_drafts:
        llm.warm_drafts(line for _, line in read_lines(args.warm_drafts, RequestError) if line)
    if args.load_drafts:
        llm.load_drafts(args.load_drafts)
    unprinted: OSError | None = None
    try:
        if args.json:
            print(json.dumps(llm.generate(prompt, args.method, **options).to_dict()))
        else:
            for token in llm.stream(prompt, args.method, **options):
                print(token.text if llm.tokenizer else f"{token.id} ", end="", flush=True)
            print()
    except OSError as error:
        unprinted = error
    if args.save_drafts:  # what was learned is kept also where the text could not be printed
        llm.save_drafts(args.save_drafts)
    if unprinted:
        raise unprinted
    return 0


def _prompt(args: argparse.Namespace) -> Any:
    if args.ids is not None:
        return params.integers(args.ids, "--ids")
    if args.chat is not None:
        return [{"role": "user", "content": streams.as_typed(args.chat)}]
    if args.prompt_file is None:
        return streams.read_input() if args.prompt == "-" else streams.as_typed(args.prompt)
    return read_text(args.prompt_file, RequestError)


def _constraints(args: argparse.Namespace) -> dict[str, Any]:
    from mindcold.constraints import Forbidden, Keywords, Regex

    found: list[Any] = []
    for kind, text in ((Keywords, args.keywords), (Forbidden, args.forbidden)):
        if text is not None:
            found.append(kind([word.strip() for word in streams.as_typed(text).split(",") if word.strip()]))
    if args.regex is not None:
        found.append(Regex(streams.as_typed(args.regex)))
    return {"constraint": found} if found else {}
