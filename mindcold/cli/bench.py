"""`mindcold bench`: ways of decoding beside each other in one run, as times and ratios."""

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindcold.cli.bench_flags import BENCHMARKS, COMMON, FLAGS
from mindcold.cli.task_data import check_output
from mindcold.errors import RequestError

if TYPE_CHECKING:
    from mindcold.bench.items import Item

GREEDY = ("base greedy", "LoRA greedy", "read")
"""What methods are compared with; "read" is one reading of the weights."""

UNNAMED = "unnamed_"
"""Before the destination of a flag that is given without the name of a benchmark."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand for each benchmark; `mindcold bench` alone is `methods`, with flags it is `peers`."""
    parser.set_defaults(benchmark=None)
    flags = parser.add_argument_group("flags of peers, which need not be named")
    for flag in (*BENCHMARKS["peers"][1], *COMMON):
        known = {name: value for name, value in FLAGS[flag].items() if name != "default"}
        if not known.keys() & {"action", "choices"}:
            known.setdefault("metavar", _name(flag).upper())
        flags.add_argument(flag, dest=UNNAMED + _name(flag), default=argparse.SUPPRESS, **known)
    commands = parser.add_subparsers(metavar="benchmark", title="benchmarks (default methods)")
    for name, (summary, names) in BENCHMARKS.items():
        own = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        own.set_defaults(benchmark=name)
        for flag in (*names, *COMMON):
            default = FLAGS[flag].get("default")
            shown = f" (default {default})" if default else ""
            own.add_argument(flag, **FLAGS[flag] | {"help": FLAGS[flag]["help"] + shown})


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    from mindcold.bench.report import show

    args = _named(args)
    for name in ("prompt_tokens", "new_tokens", "prefill_tokens", "count", "rounds"):
        value, least = getattr(args, name, None), 2 if name == "new_tokens" else 1
        if value is not None and value < least:
            raise RequestError(f"--{name.replace('_', '-')}: a number of at least {least} is expected, found {value}")
    check_output(args.output, args.benchmark)
    measure = {"methods": methods, "steps": steps, "drafts": drafts, "peers": peers}
    measure |= {"lookahead": lookahead, "replay": replay, "accuracy": accuracy}
    with tempfile.TemporaryDirectory(prefix="mindcold-bench-") as folder:
        result = measure[args.benchmark](args, Path(folder))
    names = (
        "model",
        "shape",
        "dtype",
        "backend",
        "prompt_tokens",
        "new_tokens",
        "data",
        "count",
        "validation",
        "rounds",
    )
    setting = {name: str(value) for name in names if (value := getattr(args, name, None)) not in (None, False)}
    show({"setting": setting} | result, args.json, args.output, args.benchmark)
    return 0


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _named(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments of a benchmark, also where none is named."""
    given = {name.removeprefix(UNNAMED): value for name, value in vars(args).items() if name.startswith(UNNAMED)}
    if args.benchmark is not None:
        if given:
            raise RequestError(f"--{min(given).replace('_', '-')}: goes after {args.benchmark}")
        return args
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(["peers" if given else "methods"])
    vars(args).update(given)
    return args


def methods(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Milliseconds of every method in every round, by dtype and batch."""
    from mindcold.bench import tasks
    from mindcold.bench.report import task_rows
    from mindcold.llm import load

    model, adapter = open_model(args, folder)
    batches = [int(size) for size in _numbers(args.batch, "--batch", 1, 128)]
    todo: dict[str, tasks.Task] = {}
    for dtype in args.dtypes.split(","):
        llm = load(model, adapter, dtype=dtype, backend=args.backend, max_batch=max(batches))
        for batch in batches:
            found = tasks.of_methods(llm, args.prompt_tokens, args.new_tokens or 32, batch)
            prefix = f"{llm.dtype} " + (f"batch {batch} " if batch > 1 else "")
            todo |= {prefix + name: task for name, task in found.items()}
        todo[f"{llm.dtype} read"] = tasks.of_memory(llm.engine.weight_bytes)
        if args.prefill_tokens:
            todo[f"{llm.dtype} prefill {args.prefill_tokens}"] = tasks.of_prefill(llm, args.prefill_tokens)
    times = tasks.run_in_turn(todo, args.rounds)
    prompts = {name: values for name, values in times.items() if "prefill" in name}
    tokens = {name: values for name, values in times.items() if name not in prompts}
    return {"methods": task_rows(tokens, GREEDY), "prompts": task_rows(prompts), "rounds": times}


def steps(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Milliseconds of steps in every round, by dtype."""
    from mindcold.bench import tasks
    from mindcold.bench.report import bound_rows, context_rows, task_rows
    from mindcold.llm import load

    model, _ = open_model(args, folder)
    rows = _rows(args)
    contexts = [] if args.context is None else [int(size) for size in _numbers(args.context, "--context", 1, 1 << 20)]
    todo: dict[str, tasks.Task] = {}
    for dtype in args.dtypes.split(","):
        llm = load(model, dtype=dtype, backend=args.backend)
        found = tasks.of_steps(llm, rows, args.prompt_tokens)
        found |= {"read": tasks.of_memory(llm.engine.weight_bytes), "multiply": tasks.of_arithmetic(llm)}
        for context in contexts:
            found[f"step at {context}"] = tasks.of_steps(llm, (1,), context)["step 1 rows"]
            found[f"KV of {context}"] = tasks.of_memory(context * llm.engine.slot_bytes)
        todo |= {f"{llm.dtype} {name}": task for name, task in found.items()}
    times = tasks.run_in_turn(todo, args.rounds)
    shown = {"steps": task_rows(times, ("step 1 rows", "read")), "bounds": bound_rows(times)}
    return shown | {"contexts": context_rows(times, contexts, args.prompt_tokens), "rounds": times}


def peers(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Other programs in turn with mindcold: times, ratios, and how many of their tokens are ours."""
    from mindcold.bench import gguf_copy, peers, pictures
    from mindcold.bench.report import task_rows

    wanted = args.peer is not None or args.llama is not None
    _require(wanted, "--peer or --llama: the interpreter of another program is expected")
    if args.picture:
        pictures.require_matplotlib()
    if args.llama is not None:
        gguf_copy.require_gguf()
    model, adapter = open_model(args, folder)
    setting = peers.Setting(
        model,
        find_adapter(adapter),
        args.dtypes.split(","),
        args.prompt_tokens,
        args.new_tokens or 32,
        args.prefill_tokens,
        args.rounds,
        _rows(args),
        args.backend,
        args.peer,
        args.peer_dtypes.split(","),
        args.peer_copies,
        args.llama,
    )
    times, tokens = peers.measure(setting, folder)
    if args.picture:
        pictures.steps(times, f"{args.shape or args.model}, {os.cpu_count()} cores", args.picture)
    named = {name: values for name, values in times.items() if name.endswith(tuple(peers.REQUESTS))}
    others = {name: values for name, values in times.items() if name not in named}
    found = {"methods": task_rows(named), "others": task_rows(others), "figures": peers.ratios(times)}
    return found | {"tokens": peers.agreement(tokens), "rounds": times}


def drafts(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Drafts from warmed-up and from empty tables, beside the same without drafts."""
    from mindcold.bench import cases, drafts, generations, items
    from mindcold.llm import load

    chosen = cases.select(cases.DRAFTS, args.only, ("base greedy",))
    prompts, texts = _items(args, items.arithmetic), _texts(args, items.arithmetic)
    if not texts:
        chosen = {name: case for name, case in chosen.items() if not case.warmed_up}
    model, adapter = open_model(args, folder)
    llm = load(model, adapter, dtype=args.dtype, backend=args.backend)
    _require(llm.adapters, "--adapter: drafts are measured with one; give it")
    found = generations.measure(llm, prompts, chosen, args.rounds, args.new_tokens or drafts.NEW_TOKENS, texts)
    return {"drafts": drafts.rows(found, chosen, prompts)}


def lookahead(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Greedy, CDLH and CDSL on sentences with given words."""
    from mindcold.bench import cases, generations, items, lookahead
    from mindcold.llm import load

    chosen = cases.select(cases.lookahead(args.draft_model), args.only, ("LoRA greedy", "CDLH"))
    prompts, texts = _items(args, items.words), _texts(args, items.words)
    _require(all(item.constraint for item in prompts), f"{args.data}: keywords: every line needs some")
    model, adapter = open_model(args, folder, "tiny-keywords")
    llm = load(model, adapter, dtype=args.dtype, backend=args.backend)
    _require(llm.adapters, "--adapter: lookahead is measured with one; give it")
    drafter = load(args.draft_model, dtype=args.dtype, backend=args.backend)
    new_tokens = args.new_tokens or lookahead.NEW_TOKENS
    found = generations.measure(llm, prompts, chosen, args.rounds, new_tokens, texts, drafter)
    together = generations.measure_together(llm, prompts, chosen, args.rounds, new_tokens, drafter)
    return {"lookahead": lookahead.rows(llm, found, together, prompts)}


def replay(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The model's own output as drafts of set quality."""
    from mindcold.bench.replay import measure
    from mindcold.bench.tasks import random_ids
    from mindcold.llm import load

    rates = _numbers(args.rates, "--rates", 0, 1)
    model, adapter = open_model(args, folder)
    llm = load(model, adapter, dtype=args.dtype, backend=args.backend)
    prompt = random_ids(llm, (args.prompt_tokens,)).tolist()
    return {"replay": measure(llm, rates, prompt, args.new_tokens or 32, args.rounds)}


def accuracy(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Logits, tokens and answers of every dtype beside those of float32."""
    from mindcold.bench.accuracy import measure
    from mindcold.bench.items import arithmetic

    model, adapter = open_model(args, folder)
    prompts = _items(args, arithmetic)
    _require(adapter, "--adapter: accuracy is measured with one; give it")
    return {"accuracy": measure(model, str(adapter), prompts, args.backend, args.new_tokens or 80)}


def open_model(args: argparse.Namespace, folder: Path, adapter: str = "tiny-steps") -> tuple[Path, str | Path | None]:
    """Folder of the model, and its adapter; random ones written first where a shape is asked for."""
    from mindcold.model_folder import find_folder
    from mindcold.model_zoo.shapes import write_random_model

    if getattr(args, "shape", None) is not None:
        written = write_random_model(args.shape, folder)
        return written.model, written.adapter
    default = adapter if args.model == "tiny-base" else None
    return find_folder(args.model), default if args.adapter is None else args.adapter


def find_adapter(adapter: str | Path | None) -> Path | None:
    """The folder of an adapter, if there is one."""
    from mindcold.model_folder import find_folder

    return None if adapter is None else find_folder(adapter)


def _items(args: argparse.Namespace, shipped: Any) -> "list[Item]":
    from mindcold.bench.items import read

    split = "validation" if args.validation else "held_out"
    return read(args.data)[: args.count] if args.data else shipped(split, args.count)


def _texts(args: argparse.Namespace, shipped: Any) -> list[str]:
    """Texts to warm up drafts with: the file given, or training texts where the task is the shipped one."""
    from mindcold.bench.items import WARM_UP, read

    found = read(args.warm_up) if args.warm_up else [] if args.data else shipped("training", WARM_UP)
    return [item.prompt + item.completion for item in found]


def _rows(args: argparse.Namespace) -> tuple[int, ...]:
    """Rows of the steps; one row, which others are compared with, is always among them."""
    return tuple(sorted({1, *(int(rows) for rows in _numbers(args.rows, "--rows", 1, 128))}))


def _numbers(text: str, flag: str, low: float, high: float) -> list[float]:
    try:
        found = [float(item) for item in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(low <= number <= high for number in found):
        raise RequestError(f"{flag}: comma-separated numbers from {low} to {high} are expected, found {text!r}")
    return found


def _require(condition: object, message: str) -> None:
    if not condition:
        raise RequestError(message)
