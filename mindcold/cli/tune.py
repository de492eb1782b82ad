"""`mindcold tune`: alpha, beta and drafts for an adapter, written beside it as its decoding defaults."""

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

from mindcold.cli import params, task_data
from mindcold.errors import RequestError

ALPHAS, BETAS, SIZES = "0.05,0.1,0.2,0.5", "0.25,0.5,1,2", "4,8,16"
BATCH = 32
"""Settings decoded together at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    task_data.add_arguments(parser, adapter=True, limit=80)
    parser.add_argument("--alphas", default=ALPHAS, help=f"plausibility cuts to try (default {ALPHAS})")
    parser.add_argument("--betas", default=BETAS, help=f"strengths of the contrast to try (default {BETAS})")
    parser.add_argument(
        "--draft-tokens", default=SIZES, help=f"sizes of draft trees to try beside the adaptive one (default {SIZES})"
    )
    parser.add_argument(
        "--high-precision-steps",
        metavar="COUNTS",
        help="tokens to decide with the loaded weights before int8 goes on, to try, as in 2,4,8 (default none)",
    )
    parser.add_argument("--no-drafts", action="store_true", help="leave drafts as they are")
    parser.add_argument("--dry-run", action="store_true", help="write no decoding defaults")
    parser.add_argument("--output", action=params.AsPath, help="folder for tune.json with every text, and tune.png")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Tune, print and write; what can be wrong is looked at before the model is loaded."""
    from mindcold.decoding_defaults import TuningRecord, check_writable
    from mindcold.model_folder import find_folder
    from mindcold.tasks.report import check_picture
    from mindcold.tuning import Grid, check, report, tune
    from mindcold.tuning.grid import GREEDY

    task_data.check(args)
    grid, sizes = Grid.parse(args.alphas, args.betas), _sizes(args)
    steps = _checked(args.high_precision_steps or "", "high_precision_steps")
    if args.output:
        check_picture()
        task_data.check_output(args.output, "tune")
    folder = find_folder(args.adapter)
    if not args.dry_run:
        check_writable(folder)
        if not os.access(folder, os.W_OK):
            raise RequestError(f"--adapter: {folder}: cannot be written; use --dry-run or a copy of it")
    task, items = task_data.read(args)
    check(task, items)

    from mindcold.llm import load

    llm = load(args.model, folder, dtype=args.dtype, backend=args.backend, max_batch=BATCH)
    chat, tokens = task_data.is_chat(args, llm), args.max_new_tokens
    found = tune(
        llm,
        task,
        items,
        grid,
        chat=chat,
        max_new_tokens=tokens,
        drafts=sizes,
        high_precision_steps=steps,
        seed=args.seed,
    )

    greedy, score = (float(found.tested_on.column(spec.label, found.metric).mean()) for spec in (GREEDY, found.best))
    record = TuningRecord(
        task=task.name,
        data=args.data.name,
        split=args.split,
        model=Path(args.model).name,
        metric=found.metric,
        chosen_on=len(found.chosen_on.items),
        tested_on=len(found.tested_on.items),
        greedy=greedy,
        score=score,
        difference=found.gain.value,
        low=found.gain.low,
        high=found.gain.high,
        setting=found.best.label,
    )
    defaults = replace(found.defaults, tuned_on=record)
    setting = task_data.setting(args, task, items, llm)
    result = {"setting": setting} | report.to_dict(found) | {"defaults": defaults.to_dict()}
    result["written"] = None
    try:
        if not args.dry_run:
            result["written"] = str(defaults.write(folder))
        if args.output:
            parts = [part.to_dict() for part in (found.chosen_on, found.tested_on)]
            title = f"{task.name}, {record.model} + {folder.name}"
            content = result | {"items": {"chosen_on": parts[0], "tested_on": parts[1]}}
            task_data.write(args.output, "tune", content, lambda path: report.picture(found, title, path))
    finally:  # what was found is shown also where it could not be written
        if args.json:
            print(json.dumps(result))
        else:
            print(", ".join(f"{name} {value}" for name, value in setting.items() if value is not None) + "\n")
            print(report.text(found))
            place = result["written"]
            print(f"\n{place}: used where a call gives no method, alpha or beta" if place else "\nnothing is written")
    return 0


def _sizes(args: argparse.Namespace) -> list[int] | None:
    """Sizes of draft trees to try; None without drafts."""
    sizes = _checked(args.draft_tokens, "draft_tokens")
    return None if args.no_drafts else sizes


def _checked(text: str, name: str) -> list[int]:
    """Values of a keyword to try, ascending."""
    from mindcold.sampling_params import SamplingParams

    values = params.integers(text, params.flag(name))
    for value in values:
        SamplingParams.of({name: value})
    return sorted(set(values))
