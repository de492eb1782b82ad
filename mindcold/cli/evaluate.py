"""`mindcold evaluate`: decoding methods on a public task, with intervals."""

import argparse
import json
import os
import platform
from pathlib import Path

from mindcold.errors import RequestError
from mindcold.files import write_json
from mindcold.tasks import SPLITS, TASKS, find_task, read_items
from mindcold.tasks.methods import parse_methods

PROMPTS = ("auto", "chat", "plain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument(
        "--task", required=True, help="; ".join(f"{task.name}: {task.summary}" for task in TASKS.values())
    )
    parser.add_argument("--data", type=Path, required=True, help="file in the task's public format")
    parser.add_argument("--model", default="smollm2-135m", help="model folder or name (default smollm2-135m)")
    parser.add_argument("--adapter", help="PEFT adapter folder or name")
    parser.add_argument(
        "--methods",
        default="greedy",
        help="as in 'greedy;cold:beta=0.5;cdsl:draft=trigram'; the first is compared with",
    )
    parser.add_argument("--limit", type=int, default=100, help="items (default 100)")
    parser.add_argument("--split", default="all", help=f"{', '.join(SPLITS)} (default all)")
    parser.add_argument("--groups", default="", help="only these kinds of items, as in '4 words,5 words'")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of items and the intervals (default 0)")
    parser.add_argument(
        "--prompts", default="auto", help="auto (default), chat or plain: through the chat template or not"
    )
    parser.add_argument("--max-new-tokens", type=int, help="token budget (default the task's)")
    parser.add_argument("--keep-drafts", action="store_true", help="let drafts learn from text to text")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or int8")
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, aot, akg or builtin")
    parser.add_argument("--output", type=Path, help="folder for evaluate.json with every text, and evaluate.png")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure and print; what can be wrong is looked at before the model is loaded."""
    from mindcold.tasks import report

    task, specs = find_task(args.task), parse_methods(args.methods)
    for name in ("limit", "max_new_tokens"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise RequestError(f"--{name.replace('_', '-')}: a positive number is expected, found {value}")
    if args.seed < 0:
        raise RequestError(f"--seed: a number >= 0 is expected, found {args.seed}")
    if args.prompts not in PROMPTS:
        raise RequestError(f"--prompts: {args.prompts!r} is not one of {', '.join(PROMPTS)}")
    if args.output:
        report.check_picture()
        _make(args.output)
    groups = [group.strip() for group in args.groups.split(",") if group.strip()]
    items = read_items(task, args.data, limit=args.limit, split=args.split, groups=groups, seed=args.seed)

    from mindcold.llm import load
    from mindcold.tasks.evaluate import evaluate

    llm = load(args.model, args.adapter, dtype=args.dtype, backend=args.backend)
    chat = args.prompts == "chat" or (args.prompts == "auto" and _has_template(llm.folder))
    tokens = args.max_new_tokens
    found = evaluate(llm, task, items, specs, chat=chat, max_new_tokens=tokens, keep_drafts=args.keep_drafts)

    rows, parts = report.rows(found, args.seed), report.group_rows(found, args.seed)
    setting = {"task": task.name, "data": args.data.name, "split": args.split, "items": len(items), "model": args.model}
    setting |= {"adapter": args.adapter, "dtype": llm.dtype, "prompts": "chat" if chat else "plain"}
    setting |= {"max_new_tokens": tokens or task.max_new_tokens, "seed": args.seed, "cores": os.cpu_count()}
    setting |= {"machine": platform.machine(), "keep_drafts": args.keep_drafts}
    result = {"setting": setting, "methods": [report.plain(row) for row in rows]}
    result["groups"] = [report.plain(row) for row in parts]
    if args.output:
        write_json(args.output / "evaluate.json", result | {"items": found.to_dict()})
        title = f"{task.name}, {len(items)} items, {args.model}" + (f" + {args.adapter}" if args.adapter else "")
        report.picture(rows, found.metrics, title, args.output / "evaluate.png")
    if args.json:
        print(json.dumps(result))
        return 0
    print(", ".join(f"{name} {value}" for name, value in setting.items() if value is not None))
    for part in (rows, parts):
        if part:
            print("\n" + report.table(part, found.metrics))
    if found.metrics:
        print(
            "\nscores in per cent; intervals of 95 % by bootstrap over items; * the difference to the first excludes 0"
        )
    return 0


def _has_template(folder: Path) -> bool:
    """Whether a model folder has a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and "chat_template" in json.loads(settings.read_text(encoding="utf-8"))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"--output: {folder}: {error.strerror}") from None
