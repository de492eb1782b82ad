"""One command on a host with CANN and MindSpore: what of mindcold runs on its NPU, how exactly and how fast.

    python tools/check_ascend.py

writes ascend-check.json and ascend-check.md, to be sent back. Every step has a process of its own: none ends the rest,
and each says what to install. On a host without an NPU it goes as far as it can on CPU and says what is missing. The
host, step by step: tools/ascend/README.md. On an NPU it was written for, and never run.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from checks import bodies, host, kernels, models
from checks.report import FORMAT, page
from checks.step import Result, Setting, run_apart, run_here, say

STEPS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "versions": host.versions,
    "cann": host.cann,
    "chip": host.chip,
    "device": host.device,
    "bodies": bodies.available,
    "objects": kernels.objects,
    "contracts": bodies.contracts,
    "kernels": bodies.launched,
    "parity": models.parity,
    "speed": models.speed,
}


def main() -> int:
    """Run the steps; 1 where one failed, 0 where all are ok or what they need is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the two files (default here)")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP", help=", ".join(STEPS))
    parser.add_argument("--repeats", type=int, default=30, help="calls that are timed (default 30)")
    parser.add_argument("--items", type=int, default=8, help="texts decoded for speed (default 8)")
    parser.add_argument("--model", default="smollm2-135m", help='model of the speed step, "" for none')
    parser.add_argument("--timeout", type=float, default=1800, help="seconds of a step at most (default 1800)")
    parser.add_argument("--device", choices=("Ascend", "CPU"), help="default Ascend where MindSpore reaches one")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--tokens", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    setting = Setting(args.device or "CPU", args.repeats, args.items, args.model)
    if args.step or args.tokens:
        step = STEPS[args.step] if args.step else lambda setting: models.tokens(*args.tokens)
        say(run_here(step, setting))
        return 0
    if not args.output.is_dir():
        parser.error(f"--output: {args.output} is not a folder")
    report = check(args)
    write(report, args.output)
    states = [step["state"] for step in report["steps"].values()]
    print(f"{states.count('ok')} ok, {states.count('missing')} missing, {states.count('failed')} failed")
    return 1 if "failed" in states else 0


def check(args: argparse.Namespace) -> dict[str, Any]:
    """All steps; where the device answers, those after it compute there."""
    device, steps = args.device or "CPU", {}
    for name in STEPS:
        if name not in args.only and not (name == "device" and args.device is None):
            continue
        result = run_apart(command(args, name, device), args.timeout)
        if name == "device" and args.device is None and result.state == "ok":
            device = "Ascend"
        show(name, result)
        steps[name] = asdict(result)
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return {"format": FORMAT, "when": when, "device": device, "steps": steps}


def command(args: argparse.Namespace, step: str, device: str) -> list[str]:
    """The arguments of a step's process."""
    numbers = ["--repeats", str(args.repeats), "--items", str(args.items), "--model", args.model]
    return [__file__, "--step", step, "--device", device, *numbers]


def show(name: str, result: Result) -> None:
    """A line for each step as it ends."""
    print(f"{name:<10} {result.state:<8} {result.seconds:7.1f} s  {result.message}", flush=True)
    if result.install:
        print(f"{'':<10} install: {result.install}", flush=True)


def write(report: dict[str, Any], folder: Path) -> None:
    """The two files, each in one piece."""
    from mindcold.files import atomic

    for name, text in (("ascend-check.json", json.dumps(report, indent=1) + "\n"), ("ascend-check.md", page(report))):
        with atomic(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
