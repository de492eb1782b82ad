"""Mixed work for a while: nothing a process holds may grow, and every output has to come out again.

    python tools/endurance.py --minutes 60 [--seed 0] [--json FILE]

Every round does each kind of work once, in an order and with prompts that depend on the seed: all methods alone and
together, drafts saved and loaded, streams given up halfway, Ctrl-C, threads, batch files, adapters, models that are
loaded and dropped. After every round it looks at the memory, the descriptors, the threads and the compiled graphs of
the process; at the end a newly loaded model does some of the work again. Prints a table and ends non-zero where
something grows, leaks or differs.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from mindspore.graph import api
from tabulate import tabulate

import mindcold
from mindcold.cli import main as command

MODEL, ADAPTER, OTHER, DRAFT = "tiny-base", "tiny-steps", "tiny-keywords", "tiny-draft"
WARM_UP = 2
"""Rounds before the first that counts: graphs are compiled in them, tables filled."""

GROWTH, LOST = 25.0, 4.0
"""Megabytes that memory may grow in all, and for every model that was loaded: MindSpore loses 2 to 3 at each."""

LATE = 8
"""Graphs that may come late: of numbers of rows that no step had before. Models that kept theirs would add hundreds."""

BEGINNINGS: tuple[list[int], ...] = [], list(range(100, 140)), list(range(100, 164))
"""Of prompts: their keys and values stay from one call to the next, PREFIX_CACHE tokens of them."""

PREFIX_CACHE = 300

AGAIN = 40
"""Pieces of work that are done again at the end."""

METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("greedy", {}),
    ("greedy", {"draft": "trigram"}),
    ("sample", {"temperature": 0.8, "top_p": 0.9}),
    ("sample", {"draft": "trigram", "top_k": 40}),
    ("cold", {"alpha": 0.1, "beta": 0.5}),
    ("cold", {"draft": "trigram", "repetition_penalty": 1.1}),
    ("aded", {}),
    ("beam", {"num_beams": 3}),
    ("cdlh", {"constraint": ["king", "lake"], "lookahead": 3, "candidates": 4}),
    ("cdsl", {"constraint": ["king", "lake"], "draft": "base", "lookahead": 3, "candidates": 4}),
)

Work = Callable[["mindcold.LLM", random.Random], Any]


def one(llm: mindcold.LLM, rng: random.Random) -> Any:
    """Each method by itself, under one of the adapters."""
    return [_ids(llm.generate(_prompt(rng), **_options(rng, item))) for item in METHODS]


def together(llm: mindcold.LLM, rng: random.Random) -> Any:
    """Requests of all methods in one call."""
    requests = [mindcold.Request(_prompt(rng), **_options(rng, item)) for item in rng.sample(METHODS, len(METHODS))]
    return [_ids(out) for out in llm.generate(requests)]


def given_up(llm: mindcold.LLM, rng: random.Random) -> Any:
    """Streams that are closed after some tokens."""
    found = []
    for item in rng.sample(METHODS, 4):
        stream = llm.stream(_prompt(rng), **_options(rng, item))
        found.append([token.id for token, _ in zip(stream, range(rng.randint(1, 6)), strict=False)])
        stream.close()  # type: ignore[attr-defined]
    return found


def interrupted(llm: mindcold.LLM, rng: random.Random) -> None:
    """Ctrl-C during a call; what it had decided by then depends on the clock."""
    timer = threading.Timer(rng.uniform(0.005, 0.1), os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        llm.generate([_prompt(rng)] * 4, "cold", max_new_tokens=400, eos_token_id=[])
        timer.join()
        time.sleep(0.05)  # one that came late
    except KeyboardInterrupt:
        pass
    timer.join()


def threads(llm: mindcold.LLM, rng: random.Random) -> Any:
    """Calls in several threads at once."""
    calls = [(_prompt(rng), _options(rng, item)) for item in rng.sample(METHODS, 3)]
    found: list[Any] = [None] * len(calls)

    def call(i: int) -> None:
        found[i] = _ids(llm.generate(calls[i][0], **calls[i][1]))

    running = [threading.Thread(target=call, args=(i,)) for i in range(len(calls))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return found


def drafts(llm: mindcold.LLM, rng: random.Random) -> Any:
    """Tables that are filled, saved, forgotten and loaded."""
    llm.warm_drafts(["Tom has 3 apples. The answer is 3.", "One day a king went to the lake."])
    with tempfile.TemporaryDirectory() as folder:
        llm.save_drafts(Path(folder) / "drafts")
        llm.forget_drafts()
        llm.load_drafts(Path(folder) / "drafts")
    return _ids(llm.generate(_prompt(rng), draft="trigram", max_new_tokens=12))


def batch(llm: mindcold.LLM, rng: random.Random) -> Any:
    """The command on a file of prompts, with a line that is refused; it loads a model of its own."""
    lines = [
        json.dumps({"custom_id": str(i), "url": "/v1/completions", "body": {"prompt": _prompt(rng), "max_tokens": 6}})
        for i in range(4)
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        (Path(folder) / "in").write_text("\n".join([*lines, "{"]), encoding="utf-8")
        flags = ["--input", f"{folder}/in", "--output", f"{folder}/out", "--model", MODEL, "--adapter", f"a={ADAPTER}"]
        with contextlib.redirect_stdout(io.StringIO()):
            assert command(["batch", *flags]) == 0
        records = [json.loads(line) for line in (Path(folder) / "out").read_text(encoding="utf-8").splitlines()]
    answers = [item["response"] and item["response"]["body"]["choices"][0]["text"] for item in records]
    return sorted(zip([str(item["custom_id"]) for item in records], map(str, answers), strict=True))


def model(llm: mindcold.LLM, rng: random.Random) -> Any:
    """A model that is loaded, gets its adapters, is used and dropped."""
    own = mindcold.load(MODEL, ADAPTER, dtype=rng.choice(["float32", "int8"]))
    own.add_adapter("other", OTHER)
    return _ids(own.generate(_prompt(rng), "cold", adapter="other", max_new_tokens=6))


def refused(llm: mindcold.LLM, rng: random.Random) -> Any:
    """Requests that are wrong, and one that fails while it is decoded."""
    says = []
    everything = list(range(llm.config.vocab_size))
    for keywords in ({"alpha": float("nan")}, {"adapter": "none"}, {"suppress_tokens": everything}):
        try:
            llm.generate(_prompt(rng), "cold", **keywords)
        except mindcold.MindcoldError as error:
            says.append(str(error)[:60])
    return says


WORK: dict[str, Work] = {
    item.__name__: item for item in (one, together, given_up, interrupted, threads, drafts, batch, model, refused)
}


def _prompt(rng: random.Random) -> list[int]:
    beginning = rng.choice(BEGINNINGS)
    return [*beginning, *(rng.randrange(5, 2000) for _ in range(rng.randint(1, 40)))]


def _options(rng: random.Random, item: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    method, more = item
    return {"method": method, "adapter": rng.choice(["default", "other"]), "max_new_tokens": rng.randint(1, 16)} | more


def _ids(out: mindcold.Output) -> list[int]:
    if out.stats.error:
        raise RuntimeError(out.stats.error)
    return out.token_ids


def load() -> mindcold.LLM:
    """The model all of the work shares, with two adapters."""
    llm = mindcold.load(MODEL, ADAPTER, prefix_cache=PREFIX_CACHE)
    llm.add_adapter("other", OTHER)
    return llm


def held() -> dict[str, float]:
    """What the process holds."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    process = psutil.Process()
    return {
        "megabytes": round(process.memory_info().rss / 1e6, 1),
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "graphs": len(api.ms_compile_cache),
    }


def endure(minutes: float, seed: int) -> dict[str, Any]:
    """Work for so long: what was held after every round, and what is wrong."""
    llm, rng, end = load(), random.Random(seed), time.monotonic() + 60 * minutes
    done: list[tuple[str, int, Any]] = []
    rounds: list[dict[str, float]] = []
    faults: list[str] = []
    while len(rounds) < WARM_UP + 2 or time.monotonic() < end:
        for name in rng.sample(list(WORK), len(WORK)):
            number = rng.randrange(1 << 30)
            done.append((name, number, WORK[name](llm, random.Random(number))))
        llm.kept_prompts.clear()
        if llm.engine.used_slots:
            faults.append(f"round {len(rounds) + 1}: {llm.engine.used_slots} slots are held after it")
        rounds.append(held())
    faults += grown(rounds[WARM_UP:])
    llm = load()  # another one, with empty tables
    for name, number, before in random.Random(seed).sample(done, min(AGAIN, len(done))):
        if WORK[name](llm, random.Random(number)) != before:
            faults.append(f"{name} {number}: another output when it was done again")
    counts = {name: sum(item[0] == name for item in done) for name in WORK}
    return {"minutes": minutes, "seed": seed, "work": counts, "rounds": rounds, "faults": faults}


def grown(rounds: list[dict[str, float]]) -> list[str]:
    """What was more in the last third of the rounds than in the first."""
    third = max(1, len(rounds) // 3)
    found = []
    for name in rounds[0]:
        first, last = (statistics.median(item[name] for item in part) for part in (rounds[:third], rounds[-third:]))
        loads = 2 * (len(rounds) - third)  # of `batch` and of `model`, in the rounds between the two medians
        allowed = {"megabytes": GROWTH + LOST * loads, "graphs": LATE}.get(name, 0)
        if last > first + allowed:
            found.append(f"{name}: {first:g} at first, {last:g} at last")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    result = endure(args.minutes, args.seed)
    print(", ".join(f"{name} {count}" for name, count in result["work"].items()))
    rounds = result["rounds"]
    shown = sorted({round(i * (len(rounds) - 1) / 9) for i in range(10)})
    print(tabulate([{"round": i + 1} | rounds[i] for i in shown], headers="keys"))
    for fault in result["faults"]:
        print(f"FAULT: {fault}")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 1 if result["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
