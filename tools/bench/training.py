"""LoRA steps beside torch and peft, in turns: tokens a second and peak memory of each.

    python tools/bench/training.py --model smollm2-135m --python PEER/bin/python --rounds 3

Every measurement is a process of its own that makes `--steps` steps on random tokens after one that compiles; those of
the peer are by training_peer.py, in its own interpreter. Prints one JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of every step of ours, in this process."""
    import numpy as np

    from mindcold.config import ModelConfig
    from mindcold.engine.runtime import LOCK
    from mindcold.model_folder import find_folder
    from mindcold.training.data import TrainingSet
    from mindcold.training.lora import LoraSettings
    from mindcold.training.model import TrainingLM
    from mindcold.training.rows import Row
    from mindcold.training.run import StoredWeights
    from mindcold.training.settings import TrainingSettings
    from mindcold.training.targets import IGNORED
    from mindcold.training.update import Update, adamw

    folder = find_folder(args.model)
    config = replace(ModelConfig.from_folder(folder), dtype="float32")
    lora = LoraSettings(args.rank, 2.0 * args.rank, "all-linear")
    network = TrainingLM(config, StoredWeights(folder, config), lora, args.dtype)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(args.batch):
        tokens = rng.integers(3, config.vocab_size, args.length + 1).astype(np.int32)
        unlabelled = np.arange(args.length) < round((1 - args.labelled) * args.length)
        labels = np.where(unlabelled, IGNORED, tokens[1:]).astype(np.int32)
        rows.append(Row(tokens[:-1], labels, np.zeros(args.length, np.int32)))
    data = TrainingSet(rows, args.length, args.batch, 0)
    parameters = list(network.trainable.values())
    settings = TrainingSettings(args.steps + 1, 1e-4, warmup_steps=0)
    update = Update(parameters, adamw(parameters, settings), 1.0)
    seconds, loss = [], 0.0
    for step in range(args.steps + 1):
        start = time.perf_counter()
        with LOCK:
            (batch,) = data.batches(step)
            found, gradients = network.gradients(batch)
            norm, values = update(gradients)
            network.update(values)
            loss, _ = float(found.asnumpy()), float(norm.asnumpy())
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds[1:], "peak_bytes": peak, "loss": loss}


def run(command: list[str]) -> dict[str, Any]:
    """The JSON object that a process prints."""
    env = os.environ | {"GLOG_v": "3"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:3])}: {done.stderr[-800:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Both sides, round after round: medians over all steps, and the ratio with the least and the greatest round."""
    from mindcold.model_folder import find_folder

    shape = [f"--{name}={getattr(args, name)}" for name in ("batch", "length", "rank", "labelled", "steps")]
    here = Path(__file__)
    ours = [sys.executable, str(here), "--model", args.model, "--one", f"--dtype={args.dtype}", *shape]
    peer = [args.python, str(here.with_name("training_peer.py")), str(find_folder(args.model)), *shape]
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for _ in range(args.rounds):
        found["ours"].append(run(ours))
        found["peer"].append(run([*peer, f"--dtype={args.peer_dtype}"]))
    tokens = args.batch * args.length
    rates = {name: [tokens / statistics.median(item["seconds"]) for item in rounds] for name, rounds in found.items()}
    # on a machine that others use too, the quickest step is what says most about the code
    quickest = {name: tokens / min(min(item["seconds"]) for item in rounds) for name, rounds in found.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates["peer"], strict=True)]
    peaks = {name: max(item["peak_bytes"] for item in rounds) / 1e9 for name, rounds in found.items()}
    return {
        "model": args.model,
        "shape": f"{args.batch} x {args.length}, rank {args.rank}, {args.labelled:.0%} of the positions labelled",
        "dtypes": {"ours": args.dtype, "peer": args.peer_dtype},
        "tokens_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
        "of_the_quickest_step": {name: round(value, 1) for name, value in quickest.items()},
        "ratio_of_the_quickest_steps": round(quickest["ours"] / quickest["peer"], 2),
        "ratio": [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))],
        "peak_gb": {name: round(value, 2) for name, value in peaks.items()},
        "peak_ratio": round(peaks["ours"] / peaks["peer"], 2),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--python", help="interpreter with torch, transformers and peft")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--labelled", type=float, default=1.0, help="part of the positions that carry a label")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16", help="of the frozen base")
    parser.add_argument("--peer-dtype", choices=("float32", "autocast", "bfloat16"), default="bfloat16")
    parser.add_argument("--one", action="store_true", help="ours alone, in this process")
    args = parser.parse_args()
    if not args.one and args.python is None:
        parser.error("--python: an interpreter with torch, transformers and peft is needed")
    print(json.dumps(measure(args) if args.one else compare(args)))


if __name__ == "__main__":
    main()
