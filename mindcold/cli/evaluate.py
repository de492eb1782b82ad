"""`mindcold evaluate`: decoding methods on a public task, with intervals."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from mindcold.cli import params, task_data
from mindcold.tasks import Item
from mindcold.tasks.methods import MethodSpec, parse_methods


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    task_data.add_arguments(parser)
    parser.add_argument(
        "--methods",
        default="greedy",
        help="as in 'greedy;cold:beta=0.5;cdsl:draft=trigram'; the first is compared with",
    )
    add_result_arguments(parser, "evaluate")


def add_result_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Flags of what is kept and written of a run."""
    parser.add_argument("--keep-drafts", action="store_true", help="let drafts learn from text to text")
    parser.add_argument(
        "--prefix-cache", type=int, default=0, help="tokens of prompts each method keeps from text to text (default 0)"
    )
    parser.add_argument(
        "--output", action=params.AsPath, help=f"folder for {name}.json with every text, and {name}.png"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure and print; what can be wrong is looked at before the model is loaded."""
    specs = parse_methods(args.methods)
    return measure(args, lambda items: specs, "evaluate")


def measure(
    args: argparse.Namespace, methods: Callable[[list[Item]], list[MethodSpec]], name: str, details: bool = False
) -> int:
    """Run methods on the items that the flags name, and print or write what came out under a name."""
    from mindcold.tasks import report

    task_data.check(args)
    if args.output:
        report.check_picture()
        task_data.check_output(args.output, name)
    task, items = task_data.read(args)
    specs = methods(items)

    from mindcold.llm import load
    from mindcold.tasks.evaluate import evaluate

    llm = load(args.model, args.adapter, dtype=args.dtype, backend=args.backend, prefix_cache=args.prefix_cache)
    chat, tokens = task_data.is_chat(args, llm), args.max_new_tokens
    found = evaluate(llm, task, items, specs, chat=chat, max_new_tokens=tokens, keep_drafts=args.keep_drafts)

    rows, parts = report.rows(found, args.seed), report.group_rows(found, args.seed)
    kept = {"keep_drafts": args.keep_drafts, "prefix_cache": args.prefix_cache}
    setting = task_data.setting(args, task, items, llm) | kept
    defaults = llm.decoding_defaults().contrast
    if defaults:  # a method that contrasts and names no alpha or beta takes them
        setting |= {f"default {name}": value for name, value in defaults.items()}
    result = {"setting": setting, "methods": [report.plain(row) for row in rows]}
    result["groups"] = [report.plain(row) for row in parts]
    try:
        if args.output:
            title = f"{task.name}, {len(items)} items, {args.model}" + (f" + {args.adapter}" if args.adapter else "")
            task_data.write(
                args.output,
                name,
                result | {"items": found.to_dict()},
                lambda path: report.picture(rows, found.metrics, title, path),
            )
    finally:  # what was measured is shown also where it could not be written
        if args.json:
            print(json.dumps(result))
        else:
            _show(setting, [part for part in (rows, parts) if part], found.metrics, details)
    return 0


def _show(setting: dict[str, Any], tables: list[list[dict[str, Any]]], metrics: list[str], details: bool) -> None:
    """The result for people."""
    from mindcold.tasks import report

    print(", ".join(f"{name} {value}" for name, value in setting.items() if value is not None))
    for part in tables:
        print("\n" + report.table(part, metrics, details))
    if metrics:
        print(
            "\nscores in per cent; intervals of 95 % by bootstrap over items; * the difference to the first excludes 0"
        )
