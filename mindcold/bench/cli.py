"""`mindcold bench`: the methods' time per token on one model, as a table or JSON."""

import argparse
import json
import os
from typing import Any

from mindcold.errors import RequestError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument("--model", default="tiny-base", help="model folder or zoo name (default tiny-base)")
    parser.add_argument("--adapter", default="tiny-steps", help="adapter folder or zoo name (default tiny-steps)")
    parser.add_argument("--prompt-tokens", type=int, default=64, help="length of the random prompt (default 64)")
    parser.add_argument("--new-tokens", type=int, default=128, help="tokens per generation (default 128)")
    parser.add_argument("--batch", type=int, default=1, help="prompts decoded together (default 1)")
    parser.add_argument("--rounds", type=int, default=9, help="measured rounds, methods in turn (default 9)")
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or int8 (how the base weights are kept)"
    )
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, aot or builtin")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("prompt_tokens", "batch", "rounds"):
        if getattr(args, name) < 1:
            raise RequestError(f"--{name.replace('_', '-')}: a positive number is expected")
    if args.new_tokens < 2:
        raise RequestError("--new-tokens: at least 2 are needed to time a token after the first")
    from mindcold.bench.methods import report, time_methods
    from mindcold.llm import load

    llm = load(args.model, args.adapter, dtype=args.dtype, backend=args.backend, max_batch=args.batch)
    rows = report(time_methods(llm, args.prompt_tokens, args.new_tokens, args.rounds, args.batch))
    setting = {name: value for name, value in vars(args).items() if name not in ("command", "json")}
    setting["cores"] = os.cpu_count()
    if args.json:
        print(json.dumps({"setting": setting, "methods": rows}))
    else:
        print(", ".join(f"{name} {value}" for name, value in setting.items()))
        print(table(rows))
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys as aligned text."""
    lines = [list(rows[0]), *[[str(value) for value in row.values()] for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
