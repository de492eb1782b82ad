"""Flags of the commands that decode the items of a task, and what follows from them."""

import argparse
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindcold import files
from mindcold.cli import params
from mindcold.errors import RequestError, TokenizerError
from mindcold.fields import read_json
from mindcold.tasks import SPLITS, TASKS, Item, Task, find_task, read_items

if TYPE_CHECKING:
    from mindcold.llm import LLM

PROMPTS = ("auto", "chat", "plain")


def add_arguments(
    parser: argparse.ArgumentParser, *, adapter: bool = False, limit: int = 100, default: Task = TASKS["jsonl"]
) -> None:
    """The flags; `adapter` is whether one has to be given, `default` the task where none is named."""
    tasks = "; ".join(f"{task.name}: {task.summary}" for task in ({default.name: default} | TASKS).values())
    parser.add_argument("--task", default=default.name, help=f"{tasks} (default {default.name})")
    parser.add_argument("--data", action=params.AsPath, required=True, help="file in the task's format")
    parser.add_argument("--split", default="all", help=f"{', '.join(SPLITS)} (default all)")
    parser.add_argument("--groups", default="", help="only these kinds of items, as in '4 words,5 words'")
    parser.add_argument("--limit", type=int, default=limit, help=f"items (default {limit})")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of items and the intervals (default 0)")
    parser.add_argument("--max-new-tokens", type=int, help="token budget (default the task's)")
    parser.add_argument("--model", default="smollm2-135m", help="model folder or name (default smollm2-135m)")
    parser.add_argument("--adapter", required=adapter, help="PEFT adapter folder or name")
    parser.add_argument(
        "--prompts", default="auto", help="auto (default), chat or plain: through the chat template or not"
    )
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or int8")
    parser.add_argument("--backend", default="auto", help="body of the operators: auto, or a name from `mindcold info`")


def check(args: argparse.Namespace) -> None:
    """Refuse values no command has a use for; RequestError names the flag."""
    for name in ("limit", "max_new_tokens"):
        value = getattr(args, name, None)
        if value is not None and value < 1:
            raise RequestError(f"--{name.replace('_', '-')}: a positive number is expected, found {value}")
    for name in ("seed", "prefix_cache"):
        value = getattr(args, name, None)
        if value is not None and value < 0:
            raise RequestError(f"--{name.replace('_', '-')}: a number >= 0 is expected, found {value}")
    if args.prompts not in PROMPTS:
        raise RequestError(f"--prompts: {args.prompts!r} is not one of {', '.join(PROMPTS)}")


def read(args: argparse.Namespace, default: Task = TASKS["jsonl"]) -> tuple[Task, list[Item]]:
    """The task and its items; `default` as for `add_arguments`."""
    task = default if args.task == default.name else find_task(args.task)
    groups = [group.strip() for group in args.groups.split(",") if group.strip()]
    return task, read_items(task, args.data, limit=args.limit, split=args.split, groups=groups, seed=args.seed)


def is_chat(args: argparse.Namespace, llm: "LLM") -> bool:
    """Whether prompts go through the chat template."""
    return args.prompts == "chat" or (args.prompts == "auto" and _has_template(llm.folder))


def setting(args: argparse.Namespace, task: Task, items: list[Item], llm: "LLM") -> dict[str, Any]:
    """What was run on what, for the result."""
    found = {"task": task.name, "data": args.data.name, "split": args.split, "items": len(items), "model": args.model}
    found |= {"adapter": args.adapter, "dtype": llm.dtype, "prompts": "chat" if is_chat(args, llm) else "plain"}
    found |= {"max_new_tokens": args.max_new_tokens or task.max_new_tokens, "seed": args.seed}
    return found | {"cores": os.cpu_count(), "machine": platform.machine()}


def check_output(folder: Path | None, name: str) -> None:
    """Refuse, before any work, a folder of --output where NAME.json and NAME.png could not be written.

    They take the place of those of an earlier run, and of nothing else.
    """
    if folder is None:
        return
    files.check_folder(folder, RequestError, "--output: ")
    if folder.exists():
        files.check_target(folder / f"{name}.json", RequestError, "result of this command", _is_result)
        files.check_target(folder / f"{name}.png", RequestError, "picture", _is_picture)


def write(folder: Path, name: str, content: Any, draw: Callable[[Path], None]) -> None:
    """Write NAME.json and, by `draw`, NAME.png to the folder of --output."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / f"{name}.json", content)
        with files.atomic(folder / f"{name}.png") as partial:
            draw(partial)
    except OSError as error:
        raise RequestError(f"--output: {error.filename or folder}: {files.reason(error)}") from None


def _is_result(path: Path) -> bool:
    """Whether a file begins like our results do: with their setting."""
    with path.open("rb") as file:
        head = file.read(80)
    return b"".join(head.split()).startswith(b'{"setting":')


def _is_picture(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89PNG\r\n\x1a\n"


def _has_template(folder: Path) -> bool:
    """Whether a model folder has a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return True
    settings = folder / "tokenizer_config.json"
    return settings.is_file() and "chat_template" in read_json(settings, TokenizerError)
