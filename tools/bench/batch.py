"""What decoding many requests together is worth, on prompts of CommonGen: every figure is a ratio within one run.

    python tools/bench/batch.py CASE --data commongen-train.txt [--model smollm2-135m] [--adapter smollm2-commongen]

Cases: "together" (throughput of 16 requests at once over one by one, greedy, and CoLD with drafts), "prefix" (time to
the first tokens of 200 requests with a system prompt of 500 tokens, shared over computed each time), "steady" (steps
that have idle rows while requests wait, and the growth of memory over 5,000 short requests), "peer" (beside
transformers + peft, for which --python has to be an interpreter that has them). Prints one JSON object.
"""

import argparse
import gc
import json
import platform
import re
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil

import mindcold
from mindcold.batch.runner import Runner
from mindcold.tasks import commongen
from mindcold.tasks.statistics import ratio


def main() -> None:
    """Run one case."""
    parser = argparse.ArgumentParser(description="Measure batch inference.")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--data", type=Path, help="training file of CommonGen")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--adapter", default="smollm2-commongen")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--python", default="python", help="interpreter with torch, transformers and peft")
    parser.add_argument("--peer-dtype", default="bfloat16")
    args = parser.parse_args()
    llm = mindcold.load(args.model, args.adapter)
    found = CASES[args.case](args, llm)
    print(json.dumps({"case": args.case, "model": args.model, "dtype": llm.dtype, "cpu": cpu_name()} | found))


def cpu_name():
    """The processor as Linux calls it, and how many of it there are."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"{len(names)} x {names[0]}" if names else platform.machine()  # Arm's names no model


def run(llm, requests, max_batch):
    """Seconds and new tokens of requests decoded `max_batch` at once."""
    runner, began, tokens = Runner(llm, max_batch), time.perf_counter(), 0
    for i, request in enumerate(requests):
        runner.add((i, 0), str(i), request)
    while runner.unfinished:
        tokens += sum(len(choice.tokens) for _, choice in runner.step())
    seconds = time.perf_counter() - began
    runner.close()
    return seconds, tokens


def prompts(args, count):
    """User messages of CommonGen."""
    return [[{"role": "user", "content": item.prompt}] for item in commongen.TASK.read(args.data)[:count]]


def together(args, llm):
    """Throughput at once over one by one."""
    found = {}
    for name, method, options in (
        ("greedy", "greedy", {}),
        ("cold with drafts", "cold", {"draft": "trigram"}),
    ):
        requests = [
            mindcold.Request(prompt, method, max_new_tokens=args.new_tokens, **options)
            for prompt in prompts(args, args.requests)
        ]
        speeds: dict[int, list[float]] = {1: [], args.max_batch: []}
        for i in range(args.rounds + 1):
            for size in speeds:
                llm.forget_drafts()
                seconds, tokens = run(llm, requests, size)
                if i:  # the first compiles
                    speeds[size].append(tokens / seconds)
        ratios = [many / one for one, many in zip(*speeds.values(), strict=True)]
        interval = ratio(1 / np.array(speeds[1]), 1 / np.array(speeds[args.max_batch]))  # of total times
        found[name] = {
            "ratio": statistics.median(ratios),
            "ratios": ratios,
            "of total times": [interval.value, interval.low, interval.high],
            "tokens_per_second": {size: statistics.median(values) for size, values in speeds.items()},
        }
    return found


def prefix(args, llm):
    """Time until all requests have their first token, shared over each for itself."""
    text = " ".join(item.prompt for item in commongen.TASK.read(args.data)[1000:1200])
    shared = llm.tokenizer.encode(text)[:500]
    tails = [llm.tokenizer.encode(item.prompt) for item in commongen.TASK.read(args.data)[:200]]
    requests = [mindcold.Request([*shared, *tail], max_new_tokens=1) for tail in tails]
    apart = [mindcold.Request([*shared[i:], *shared[:i], *tail], max_new_tokens=1) for i, tail in enumerate(tails)]
    run(llm, requests[:20], args.max_batch)
    run(llm, apart[:20], args.max_batch)
    ratios = []
    for _ in range(args.rounds):
        alone, _ = run(llm, apart, args.max_batch)
        once, _ = run(llm, requests, args.max_batch)
        ratios.append(once / alone)
    return {"ratio": statistics.median(ratios), "ratios": ratios, "seconds_each": alone, "seconds_shared": once}


def steady(args, llm):
    """Idle steps and memory over many short requests."""
    ids, process = (
        [llm.tokenizer.encode(item.prompt)[:12] for item in commongen.TASK.read(args.data)[:500]],
        psutil.Process(),
    )
    requests = [mindcold.Request([*ids[i % 500], 5 + i // 500], max_new_tokens=2 + i % 5) for i in range(5000)]
    runner, memory, waiting, done = Runner(llm, args.max_batch), {}, iter(enumerate(requests)), 0
    while True:
        while runner.unfinished < 2 * args.max_batch and (item := next(waiting, None)):
            runner.add((item[0], 0), str(item[0]), item[1])
        if not runner.unfinished:
            break
        for _ in runner.step():
            done += 1
            if done in (500, 5000):
                gc.collect()
                memory[done] = process.memory_info().rss / 1e6
    scheduler = runner.scheduler
    runner.close()
    return {
        "idle_steps": scheduler.idle_steps / scheduler.steps,
        "steps": scheduler.steps,
        "megabytes": memory,
        "growth": memory[5000] / memory[500] - 1,
    }


def peer(args, llm):
    """Throughput over that of transformers + peft in static batches of 8, prompts of 64 tokens, 64 new."""
    vocab, count, new = llm.config.vocab_size, 32, 64
    ids = [[(i * 7919 + j * 104729) % (vocab - 3) + 3 for j in range(64)] for i in range(count)]
    found = {}
    script = Path(__file__).with_name("batch_peer.py")
    command = [args.python, str(script), str(llm.folder), str(args.adapter), args.peer_dtype, str(new)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        for name, method in (("lora", "greedy"), ("cold", "cold")):
            requests = [mindcold.Request(item, method, max_new_tokens=new, eos_token_id=[]) for item in ids]
            run(llm, requests[: args.max_batch], args.max_batch)
            ratios = []
            for _ in range(args.rounds):
                process.stdin.write(json.dumps({"method": name, "ids": ids}) + "\n")
                process.stdin.flush()
                theirs = float(process.stdout.readline())
                seconds, tokens = run(llm, requests, args.max_batch)
                ratios.append(tokens / seconds / theirs)
            found[name] = {
                "ratio": statistics.median(ratios),
                "ratios": ratios,
                "ours": tokens / seconds,
                "theirs": theirs,
            }
        process.stdin.close()
    return found


CASES = {"together": together, "prefix": prefix, "steady": steady, "peer": peer}

if __name__ == "__main__":
    main()
