"""`mindcold bench`: steps, methods, prefill and batches of a model, beside the machine's memory and other programs."""

import argparse
import json
import os
import platform
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from mindcold.errors import RequestError
from mindcold.files import write_json

ROWS = (1, 2, 4, 8, 16, 32)
BATCHES = (1, 4, 16)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags."""
    parser.add_argument("--model", default="tiny-base", help="model folder or zoo name (default tiny-base)")
    parser.add_argument("--adapter", help="adapter folder or zoo name (default tiny-steps, for tiny-base)")
    parser.add_argument("--shape", help="random weights of this shape instead: qwen2.5-0.5b or llama3.2-1b")
    parser.add_argument("--dtype", default="auto", help="comma-separated: auto, float32, bfloat16, int8")
    parser.add_argument("--prompt-tokens", type=int, default=64, help="length of the random prompt (default 64)")
    parser.add_argument("--new-tokens", type=int, default=32, help="tokens per generation (default 32)")
    parser.add_argument("--prefill-tokens", type=int, default=0, help="also measure a prompt of this length")
    parser.add_argument("--batch", type=int, default=1, help="prompts decoded together (default 1)")
    parser.add_argument("--batches", action="store_true", help="also measure batches of 1, 4 and 16")
    parser.add_argument("--steps", action="store_true", help="also measure steps of 1 to 32 rows and the memory")
    parser.add_argument(
        "--drafts", type=int, default=0, metavar="N", help="instead, measure drafts on N prompts a kind"
    )
    parser.add_argument(
        "--ahead", type=int, default=0, metavar="N", help="instead, measure lookahead on N texts a task"
    )
    parser.add_argument(
        "--replay", metavar="RATES", help="instead, measure drafts with set hit rates, as in 0.5,0.7,0.9"
    )
    parser.add_argument(
        "--methods", default="", help="of --drafts and --ahead, only methods with these names: ADED,CDSL"
    )
    parser.add_argument("--accuracy", type=int, default=0, metavar="N", help="instead, compare dtypes on N problems")
    parser.add_argument("--rounds", type=int, default=9, help="measured rounds, tasks in turn (default 9)")
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, aot or builtin")
    parser.add_argument(
        "--peer", metavar="PYTHON", help="interpreter with torch, transformers and peft to measure beside"
    )
    parser.add_argument("--peer-dtype", default="float32,bfloat16", help="dtypes of the peer (default both)")
    parser.add_argument(
        "--llama", metavar="PYTHON", help="interpreter with llama-cpp-python and gguf to measure beside"
    )
    parser.add_argument("--output", type=Path, help="folder for bench.json and bench.png")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    for name in ("prompt_tokens", "batch", "rounds"):
        if getattr(args, name) < 1:
            raise RequestError(f"--{name.replace('_', '-')}: a positive number is expected")
    if args.new_tokens < 2:
        raise RequestError("--new-tokens: at least 2 are needed to time a token after the first")
    if args.prefill_tokens < 0:
        raise RequestError("--prefill-tokens: a positive number is expected")
    if args.drafts:
        return report_drafts(args)
    if args.ahead:
        return report_ahead(args)
    if args.accuracy:
        return report_accuracy(args)
    if args.replay:
        return report_replay(args)
    with tempfile.TemporaryDirectory(prefix="mindcold-bench-") as folder:
        report(args, measure(args, Path(folder)))
    return 0


def open_model(args: argparse.Namespace, folder: Path) -> tuple[Path, str]:
    """Folder of the model and of its adapter, random ones written first where a shape is asked for."""
    from mindcold.bench.shapes import write_random_model
    from mindcold.llm import find_folder

    if args.shape:
        written = write_random_model(args.shape, folder)
        return written.model, str(written.adapter)
    return find_folder(args.model), args.adapter or ("tiny-steps" if args.model == "tiny-base" else "")


def measure(args: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Milliseconds of every task in every round."""
    from mindcold.bench import tasks
    from mindcold.bench.rival import Rival
    from mindcold.llm import find_folder, load

    model, adapter = open_model(args, folder)
    rivals: list[Rival] = []
    todo: dict[str, tasks.Task] = {}
    try:
        for dtype in args.dtype.split(","):
            llm = load(model, adapter or None, dtype=dtype, backend=args.backend, max_batch=max(args.batch, *BATCHES))
            mine = tasks.of_methods(llm, args.prompt_tokens, args.new_tokens, args.batch)
            if args.steps:
                mine |= tasks.of_steps(llm, ROWS, args.prompt_tokens)
                mine["read"] = tasks.of_memory(llm.engine.weight_bytes)
            if args.prefill_tokens:
                mine[f"prefill {args.prefill_tokens}"] = tasks.of_prefill(llm, args.prefill_tokens)
            if args.batches:
                for batch in BATCHES:
                    several = tasks.of_methods(llm, args.prompt_tokens, args.new_tokens, batch)
                    mine |= {f"batch {batch} {name}": task for name, task in several.items()}
            todo |= {f"{llm.dtype} {name}": task for name, task in mine.items()}
        todo["score"] = tasks.of_score(llm)
        if args.peer:
            if not adapter:
                raise RequestError("--peer: give an adapter to compare with")
            for dtype in args.peer_dtype.split(","):
                rivals.append(
                    Rival(args.peer, "peer.py", model, find_folder(adapter), dtype, args.prompt_tokens, args.new_tokens)
                )
                theirs = tasks.of_rival(rivals[-1], args.prefill_tokens)
                todo |= {f"peer {dtype} {name}": task for name, task in theirs.items()}
        if args.llama:
            rivals.append(Rival(args.llama, "llama_cpp.py", model, args.prompt_tokens, folder))
            todo |= {f"llama.cpp step {n} rows": partial(rivals[-1].measure, str(n)) for n in ROWS}
        return tasks.run_in_turn(todo, args.rounds)
    finally:
        for rival in rivals:
            rival.close()


def methods_of(args: argparse.Namespace) -> list[str]:
    """The names given with --methods."""
    return [name for name in args.methods.split(",") if name]


def report_drafts(args: argparse.Namespace) -> int:
    """Measure and print what drafts gain on the shipped model's tasks, with --output also the pictures."""
    from mindcold.bench import drafts
    from mindcold.bench.report import table
    from mindcold.llm import load

    llm = load("tiny-base", "tiny-steps", dtype=args.dtype, backend=args.backend)
    editor = load("tiny-base", "tiny-edits", dtype=args.dtype, backend=args.backend)
    tasks, copies = drafts.tasks(args.drafts), drafts.copies(args.drafts)
    found = []
    for text, model, prompts, cases, seeds in (
        ("tasks", llm, tasks, drafts.TASKS, drafts.taught(drafts.SEEDED)),
        ("copies", editor, copies, drafts.COPIES, drafts.taught_copies(drafts.SEEDED)),
        ("random", llm, tasks, drafts.RANDOM, []),
    ):
        kept = drafts.chosen(cases, methods_of(args))
        if kept:
            found += drafts.rows(text, drafts.measure(model, prompts, kept, args.rounds, 80, seeds), kept)
    if not found:
        raise RequestError(f"--methods: {args.methods!r} names none that is measured")
    setting = {"model": "tiny-base", "adapters": "tiny-steps, tiny-edits", "dtype": llm.dtype, "prompts": args.drafts}
    setting |= {"rounds": args.rounds, "seeded with": drafts.SEEDED, "cores": os.cpu_count()}
    result: dict[str, Any] = {"setting": setting, "drafts": found}
    if args.output:
        sizes = drafts.by_size(llm, args.drafts, args.rounds, 80)
        curves = drafts.growth(llm, 200, 80)
        halves = {
            name: [statistics.mean(values[:100]), statistics.mean(values[100:])] for name, values in curves.items()
        }
        result |= {"speed-up by tree size": sizes, "tokens per pass, first and second hundred": halves}
        args.output.mkdir(parents=True, exist_ok=True)
        write_json(args.output / "drafts.json", result)
        drafts.picture(sizes, curves, args.output / "drafts.png")
    if args.json:
        print(json.dumps(result))
        return 0
    print(", ".join(f"{name} {value}" for name, value in setting.items()) + "\n\n" + table(found))
    if args.output:
        print()
        for name, (first, second) in halves.items():
            print(f"{name}: {first:.2f} tokens per pass in the first hundred prompts, {second:.2f} in the second")
    return 0


def report_ahead(args: argparse.Namespace) -> int:
    """Measure and print what looking ahead costs and brings, with --output also the grid and the picture."""
    from mindcold.bench import ahead
    from mindcold.bench.report import table
    from mindcold.llm import load

    cases = ahead.chosen(methods_of(args))
    tables: dict[str, list[dict[str, Any]]] = {}
    result: dict[str, Any] = {"setting": {"model": "tiny-base", "texts": args.ahead, "rounds": args.rounds}}
    result["setting"] |= {"new tokens": ahead.NEW_TOKENS, "cores": os.cpu_count()}
    for task, adapter, items in (
        ("keywords", "tiny-keywords", ahead.keyword_items(args.ahead)),
        ("harmless", "tiny-replies", ahead.harmless_items(args.ahead)),
    ):
        llm = load("tiny-base", adapter, dtype=args.dtype, backend=args.backend)
        llm.seed_drafts(ahead.taught(adapter))
        runs = ahead.measure(llm, items, cases, args.rounds, task)
        tables[task] = ahead.rows(task, runs, ahead.measure_together(llm, items, list(cases), args.rounds, task))
        if args.output and task == "keywords":
            result["grid"] = ahead.grid(llm, items[: max(1, args.ahead // 3)], 1)
    result["ahead"] = [row for found in tables.values() for row in found]
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        write_json(args.output / "ahead.json", result)
        ahead.picture(tables, args.output / "ahead.png")
    if args.json:
        print(json.dumps(result))
        return 0
    print(", ".join(f"{name} {value}" for name, value in result["setting"].items()))
    for found in (result["ahead"], result.get("grid")):
        if found:
            print("\n" + table(found))
    return 0


def report_replay(args: argparse.Namespace) -> int:
    """Measure and print what drafts gain at set hit rates."""
    from mindcold.bench.replay import measure
    from mindcold.bench.report import table
    from mindcold.bench.tasks import random_ids
    from mindcold.llm import load

    try:
        rates = [float(rate) for rate in args.replay.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 <= rate <= 1 for rate in rates):
        raise RequestError(f"--replay: comma-separated rates from 0 to 1 are expected, found {args.replay!r}")
    with tempfile.TemporaryDirectory(prefix="mindcold-bench-") as folder:
        model, adapter = open_model(args, Path(folder))
        llm = load(model, adapter or None, dtype=args.dtype, backend=args.backend)
        prompt = random_ids(llm, (1, args.prompt_tokens)).tolist()[0]
        rows = measure(llm, rates, prompt, args.new_tokens, args.rounds)
        setting = {"model": args.shape or args.model, "dtype": llm.dtype, "cores": os.cpu_count()}
    setting |= {name: getattr(args, name) for name in ("prompt_tokens", "new_tokens", "rounds")}
    if args.json:
        print(json.dumps({"setting": setting, "replay": rows}))
    else:
        print(", ".join(f"{name} {value}" for name, value in setting.items()) + "\n\n" + table(rows))
    return 0


def report_accuracy(args: argparse.Namespace) -> int:
    """Measure and print what a weight dtype costs in exactness."""
    from mindcold.bench.accuracy import measure
    from mindcold.bench.report import table

    rows = measure(args.accuracy, args.backend)
    print(json.dumps({"accuracy": rows}) if args.json else table(rows))
    return 0


def report(args: argparse.Namespace, times: dict[str, list[float]]) -> None:
    """Print the tables, and write the JSON and the picture."""
    from mindcold.bench.report import figures, medians, method_rows, picture, table

    setting: dict[str, Any] = {
        "model": args.shape or args.model,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    setting |= {name: getattr(args, name) for name in ("prompt_tokens", "new_tokens", "batch", "rounds", "backend")}
    prefixes = sorted({name.removesuffix("base greedy") for name in times if name.endswith("base greedy")})
    methods = [row for prefix in prefixes for row in method_rows(times, prefix)]
    steps = [
        {"task": name, "ms": round(value, 3)}
        for name, value in medians(times).items()
        if not name.endswith(("base greedy", "LoRA greedy", "CoLD"))
    ]
    result: dict[str, Any] = {
        "setting": setting,
        "methods": methods,
        "tasks": steps,
        "figures": figures(times, args.prefill_tokens),
    }
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        write_json(args.output / "bench.json", result | {"rounds": times})
        if args.steps:
            title = f"{setting['model']}, prompt {args.prompt_tokens}, {setting['cores']} cores ({setting['machine']})"
            picture(times, title, args.output / "bench.png")
    if args.json:
        print(json.dumps(result))
        return
    print(", ".join(f"{name} {value}" for name, value in setting.items()))
    for rows in (methods, steps, result["figures"]):
        if rows:
            print("\n" + table(rows))
