"""mindcold beside transformers + peft and llama.cpp, in turn in one run: times per token and of steps, and ratios.

python tools/bench/compare.py --shape qwen2.5-0.5b --dtypes float32,bfloat16,int8 --peer .peer/bin/python
"""

import argparse
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

from baseline import Baseline

from mindcold.cli.bench import COMMON, FLAGS, GREEDY, RANDOM, ROWS, open_model
from mindcold.errors import MindcoldError, RequestError

HERE = Path(__file__).parent
REQUESTS = {"base greedy": "greedy", "LoRA greedy": "lora", "CoLD": "cold"}
"""Method to what the transformers script calls it."""


def parse() -> argparse.Namespace:
    """The flags of `mindcold bench methods`, and the other programs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in (*RANDOM, "--dtypes", "--new-tokens", "--prefill-tokens", *COMMON):
        parser.add_argument(flag, **FLAGS[flag])
    parser.add_argument("--peer", metavar="PYTHON", help="interpreter with torch, transformers and peft")
    parser.add_argument("--peer-dtypes", default="float32,bfloat16", help="dtypes of the peer (default both)")
    parser.add_argument(
        "--peer-copies", default="2", choices=("1", "2"), help="2 (default): the base without PEFT, twice the memory"
    )
    parser.add_argument("--llama", metavar="PYTHON", help="interpreter with llama-cpp-python, gguf and safetensors")
    parser.add_argument("--picture", type=Path, help="draw step times against rows to this file; needs matplotlib")
    return parser.parse_args()


def measure(args: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Milliseconds of every task in every round."""
    from mindcold.bench import tasks
    from mindcold.llm import load
    from mindcold.model_folder import find_folder

    model, adapter = open_model(args, folder)
    if adapter is None:
        raise RequestError("--adapter: give one to compare with")
    new_tokens, baselines, todo = args.new_tokens or 32, list[Baseline](), dict[str, tasks.Task]()
    requests = dict(REQUESTS)
    if args.prefill_tokens:
        requests[f"prefill {args.prefill_tokens}"] = f"prefill {args.prefill_tokens}"
    try:
        if args.peer:
            for dtype in args.peer_dtypes.split(","):
                settings = (dtype, args.prompt_tokens, new_tokens, args.peer_copies)
                script = HERE / "transformers_peer.py"
                baselines.append(Baseline(args.peer, script, model, find_folder(adapter), *settings))
                for name, request in requests.items():
                    todo[f"peer {dtype} {name}"] = partial(baselines[-1].measure, request)
        if args.llama:
            baselines.append(Baseline(args.llama, HERE / "llama_cpp_peer.py", model, args.prompt_tokens, folder))
            todo |= {f"llama.cpp step {n} rows": partial(baselines[-1].measure, str(n)) for n in ROWS}
        for dtype in args.dtypes.split(","):
            llm = load(model, adapter, dtype=dtype, backend=args.backend)
            found = tasks.of_methods(llm, args.prompt_tokens, new_tokens)
            found |= tasks.of_steps(llm, ROWS, args.prompt_tokens)
            found |= {"read": tasks.of_memory(llm.engine.weight_bytes), "score": score(llm)}
            if args.prefill_tokens:
                found[f"prefill {args.prefill_tokens}"] = tasks.of_prefill(llm, args.prefill_tokens)
            todo |= {f"{llm.dtype} {name}": task for name, task in found.items()}
        return tasks.run_in_turn(todo, args.rounds)
    finally:
        for baseline in baselines:
            baseline.close()


def score(llm):
    """Scoring and choice of one CoLD token alone: two streams over the vocabulary."""
    import mindspore as ms
    import numpy as np

    from mindcold.bench.tasks import median_of
    from mindcold.ops import contrastive_score

    body = contrastive_score.body()
    logits = ms.Tensor(np.random.default_rng(0).standard_normal((2, llm.config.vocab_size)).astype(np.float32))
    setting = ms.Tensor(np.array([[0.1, 0.5]], np.float32))

    def chosen(logits, setting):
        return body.stacked(logits, setting)[1]

    graph = ms.jit(chosen)
    return lambda: median_of(lambda: graph(logits, setting).asnumpy(), 7)


def ratios(times: dict[str, list[float]]) -> list[dict[str, object]]:
    """The faster dtype of a peer by each dtype of ours, and what steps cost beside reading the weights."""
    from mindcold.bench.report import ratio

    rows = []
    for task in times:
        dtype, _, name = task.partition(" ")
        if dtype in ("peer", "llama.cpp"):
            continue
        peers = [other for other in times if other.startswith("peer ") and other.endswith(f" {name}")]
        peer = min(peers, key=lambda other: statistics.median(times[other]), default="")
        for over in (peer, f"llama.cpp {name}"):
            rows.append((f"{over} / {task}", ratio(times, over, task)))
        if name.startswith("step"):
            rows.append((f"{task} / 1 row", ratio(times, task, f"{dtype} step 1 rows")))
        if name == "step 1 rows":
            rows.append((f"{task} / reading the weights", ratio(times, task, f"{dtype} read")))
        if name == "CoLD":
            rows.append((f"{dtype} scoring / {name}", ratio(times, f"{dtype} score", task)))
    return [{"figure": title, "ratio": value} for title, value in rows if value is not None]


def main() -> int:
    """Measure and print."""
    args = parse()
    try:
        from mindcold.bench.report import show, task_rows

        if args.picture:
            import pictures

            pictures.require_matplotlib()
        with tempfile.TemporaryDirectory(prefix="mindcold-bench-") as folder:
            times = measure(args, Path(folder))
        setting = {"model": args.shape or args.model, "prompt tokens": args.prompt_tokens, "rounds": args.rounds}
        methods = {name: values for name, values in times.items() if name.endswith(tuple(REQUESTS))}
        others = {name: values for name, values in times.items() if name not in methods}
        result = {"setting": setting, "methods": task_rows(methods, GREEDY), "others": task_rows(others)}
        show(result | {"figures": ratios(times), "rounds": times}, args.json, args.output, "compare")
        if args.picture:
            pictures.steps(times, f"{setting['model']}, {os.cpu_count()} cores", args.picture)
    except MindcoldError as error:
        print(f"compare: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
