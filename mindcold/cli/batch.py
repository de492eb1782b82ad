"""`mindcold batch`: a file of requests to a file of responses, which goes on where it was stopped."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mindcold.cli import params
from mindcold.errors import BatchError

if TYPE_CHECKING:
    from mindcold.batch.input_file import InputFile
    from mindcold.batch.job import Summary
    from mindcold.batch.manifest import Manifest
    from mindcold.batch.parts import Parts
    from mindcold.batch.setting import Setting
    from mindcold.llm import LLM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags; decoding keywords hold for lines that do not say otherwise."""
    parser.add_argument(
        "--input", action=params.AsPath, required=True, help="OpenAI batch lines (JSONL), or a prompt a line"
    )
    parser.add_argument("--output", action=params.AsPath, required=True, help="OpenAI batch output lines")
    parser.add_argument("--model", help="HuggingFace model folder, or a name from the model zoo")
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="PEFT adapter, and the name by which a body's model means it; repeatable. The first is the default",
    )
    parser.add_argument("--format", choices=("auto", "openai", "text"), default="auto", help="of the input")
    parser.add_argument("--chat", action="store_true", help="the prompts of a text file are user messages")
    parser.add_argument("--method", help="of lines that name none (default the adapter's own, else greedy)")
    parser.add_argument("--max-batch", type=int, default=16, help="requests that run together (default 16)")
    parser.add_argument("--restart", action="store_true", help="forget what an earlier run has written")
    parser.add_argument("--merge", action="store_true", help="just join the parts of several processes")
    parser.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16 or int8 (how the base weights are kept)"
    )
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, or a name from `mindcold info`")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    params.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is left of the job; 75 where a signal stopped it before the end."""
    from mindcold.batch.input_file import InputFile
    from mindcold.batch.parts import Parts
    from mindcold.jobs.rank import Rank

    rank = Rank.of_environment()
    if rank is None:
        return 0
    check_paths(args, rank.size)
    source, parts = InputFile(args.input, args.format), Parts(args.output.absolute())
    if args.merge:
        if not parts.merge(line.number for line in source.lines()):
            raise BatchError(f"{args.output}: not all lines are done; run the job to its end first")
        return 0

    from mindcold.batch.job import Job, Summary, share
    from mindcold.batch.journal import Journal
    from mindcold.batch.progress import Progress
    from mindcold.batch.responder import Responder
    from mindcold.jobs.stop import AGAIN, StopSignal

    setting = setting_of(args)
    with StopSignal() as stop:
        manifest = begin(args, source, parts, setting)
        journal = Journal(parts.own(rank))
        try:
            done = parts.done()
            numbers, lines = share(source, done, rank.owns)
            mine = [done[number] for number in numbers if number in done]
            summary = Summary(len(numbers), len(mine), sum(place.failed for place in mine))
            if summary.done < summary.total and not stop.received:
                responder = Responder(setting, manifest.created)
                say(f"{summary.done} of {summary.total} lines are done; {_room(responder.llm, args.max_batch)}")
                progress = Progress(summary.total, summary.done)
                try:
                    Job(responder, journal).run(lines, progress, summary, stop)
                finally:
                    progress.close()
            summary.stopped = summary.done < summary.total
        finally:
            journal.close()
        if not summary.stopped:
            parts.merge(line.number for line in source.lines())
    report(args, summary)
    return AGAIN if summary.stopped else 0


def begin(args: argparse.Namespace, source: "InputFile", parts: "Parts", setting: "Setting") -> "Manifest":
    """Begin the job or go on with it; BatchError where the output is another job's."""
    from mindcold.batch import manifest
    from mindcold.model_folder import find_folder

    options = {**setting.options, "method": setting.method, "format": source.form, "chat": setting.chat}
    adapters = {name: find_folder(folder) for name, folder in setting.adapters.items()}
    found = manifest.begin(source.sha256, find_folder(setting.model), adapters, options | {"dtype": setting.dtype})
    with parts.locked():
        if args.restart:
            parts.clear()
        if parts.done() and not parts.manifest.exists():
            raise BatchError(f"{parts.manifest}: missing, but there are records; begin anew with --restart")
        return found.keep(parts.manifest)


def check_paths(args: argparse.Namespace, ranks: int = 1) -> None:
    """BatchError for an output that cannot be, and for flags that do not go together."""
    folder = args.output.absolute().parent
    if not folder.is_dir():
        raise BatchError(f"--output: {folder}: no such folder")
    if args.output.is_dir():
        raise BatchError(f"--output: {args.output}: is a folder")
    if args.output.exists() and args.input.exists() and args.output.samefile(args.input):
        raise BatchError(f"--output: {args.output} is the input; choose another file")
    if not 1 <= args.max_batch <= 128:
        raise BatchError(f"--max-batch: an integer from 1 to 128 is expected, found {args.max_batch}")
    if args.restart and ranks > 1:
        raise BatchError("--restart: not under several processes; remove the output, its parts and its manifest first")


def _adapters(given: list[str]) -> dict[str, Path]:
    """Adapter folders by name."""
    from mindcold.model_folder import find_folder

    found: dict[str, Path] = {}
    for item in given:
        name, equals, folder = item.partition("=")
        if not equals:
            name, folder = Path(item).name, item
        if not name or not folder or name in found:
            raise BatchError(f"--adapter: {item!r}: NAME=DIR is expected, every name once")
        found[name] = find_folder(folder)
    return found


def setting_of(args: argparse.Namespace) -> "Setting":
    """What the flags say of the decoding; BatchError where the model is missing."""
    from mindcold.batch.setting import Setting

    if args.model is None:
        raise BatchError("--model: missing; a model folder or a name from the model zoo")
    options = params.keywords(args)
    adapters = _adapters(args.adapter)
    return Setting(args.model, adapters, args.method, options, args.chat, args.max_batch, args.dtype, args.backend)


def _room(llm: "LLM", max_batch: int) -> str:
    """What runs together."""
    import psutil

    tokens = psutil.virtual_memory().available // llm.engine.slot_bytes
    return f"up to {max_batch} requests run together, memory has room for the keys and values of {tokens:,} tokens"


def say(text: str) -> None:
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def report(args: argparse.Namespace, summary: "Summary") -> None:
    """Print what became of the job."""
    if summary.stopped:
        say("stopped by a signal before the end; run the same command again, and it goes on")
    if args.json:
        print(json.dumps(summary.to_dict() | {"output": str(args.output)}))
        return
    text = f"{args.output}: {summary.done} of {summary.total} lines are done, {summary.failed} with an error"
    if summary.tokens:
        text += f"; {summary.tokens} tokens in {summary.seconds:.1f} s ({summary.tokens_per_second:.0f} tokens/s)"
    if summary.drafted:
        text += f", {summary.accepted / summary.drafted:.0%} of drafts accepted"
    print(text)
