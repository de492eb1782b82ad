"""`mindcold warm-drafts`: trigram tables that know what the model itself writes."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindcold import files
from mindcold.cli import params, task_data
from mindcold.errors import RequestError
from mindcold.tasks.methods import MethodSpec, parse_method
from mindcold.tasks.prompts import TASK

if TYPE_CHECKING:
    from mindcold.llm import LLM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    task_data.add_arguments(parser, limit=200, default=TASK)
    parser.add_argument(
        "--method", help="as in cold:alpha=0.1,beta=0.5: tables are kept apart by score (default the adapter's own)"
    )
    parser.add_argument(
        "--output", action=params.AsPath, required=True, help="safetensors file, for generate --load-drafts"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Let the model write, and save what its drafter has learned from that."""
    task_data.check(args)
    spec = parse_method(args.method, "--method") if args.method is not None else None
    if not args.output.absolute().parent.is_dir():
        raise RequestError(f"--output: {args.output.parent}: no such folder")
    task, items = task_data.read(args, TASK)

    from mindcold.llm import load
    from mindcold.request import Request
    from mindcold.tasks.evaluate import options_of

    files.check_target(args.output, RequestError, "draft table", lambda path: True)  # it is read below
    llm = load(args.model, args.adapter, dtype=args.dtype, backend=args.backend)
    _check_output(llm, args.output)
    spec, chat = _drafted(llm, spec), task_data.is_chat(args, llm)
    tokens = args.max_new_tokens or task.max_new_tokens
    requests = [Request(item.message(chat), spec.method, **options_of(item, spec, tokens)) for item in items]
    outs = llm.generate(requests, progress=True)
    for i, out in enumerate(outs):
        if out.stats.error:
            raise RequestError(f"prompt {i}: {out.stats.error}")
    llm.save_drafts(args.output)

    passes, count = sum(out.stats.target_passes for out in outs), sum(len(out.token_ids) for out in outs)
    result: dict[str, Any] = task_data.setting(args, task, items, llm)
    result |= {"method": spec.method, "tokens": count, "target_passes": passes, "output": str(args.output)}
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{args.output}: {len(outs)} texts by {spec.method}, {count} tokens, {count / passes:.2f} per pass")
    return 0


def _check_output(llm: "LLM", path: Path) -> None:
    """Refuse to write over what is not tables of this model and these adapters."""
    if path.exists():
        try:
            llm.load_drafts(path)
        except RequestError as error:
            raise RequestError(f"{error}; not overwritten, name another --output") from None
        llm.forget_drafts()


def _drafted(llm: "LLM", spec: MethodSpec | None) -> MethodSpec:
    """The method with its drafter, or the adapter's own method: tables learn while they draft."""
    from mindcold.decoding import find

    given = spec.options if spec else {}
    if "draft" in given and given["draft"] in ("none", None):
        raise RequestError("--method: draft: 'none' learns nothing; leave it out")
    method, options = llm.decoding_defaults().complete(spec.method if spec else None, given)
    if find(method).draft == "none" and "draft" not in given:
        options |= {"draft": "trigram"}
    return MethodSpec(spec.label if spec else method, method, options)
