"""Fuzzing: made-up inputs of every kind, each of which has to end well or in one line, in bounded time and memory.

Start it as `python tools/fuzz/run.py --cases 5000 --seed 1`; it prints a table of the counts, with `--json FILE` also
writes them, and ends non-zero when a case failed. The same seed gives the same cases.
"""

import argparse
import faulthandler
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
from judge import SECONDS, Outcome, judge
from kinds import find_kinds
from tabulate import tabulate

HANGS = 6 * SECONDS
"""After so long in code that no signal ends the run ends, says where it is, and leaves the case in a file."""

CASE = "case"
"""The file, in a folder `mindcold-fuzz-...` of the temporary ones."""


def fuzz(kind: Any, cases: int, seed: int, shown: int = 5) -> dict[str, Any]:
    """Counts of `cases` cases of a kind, and what the first `shown` that failed were."""
    counts, faults, began = Counter[str](), list[str](), time.monotonic()
    slowest = largest = 0.0

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(kind.strategy())
    def one(case: Any) -> None:
        nonlocal slowest, largest
        if sum(counts.values()) >= cases:
            return
        Path(home, CASE).write_text(repr(case)[:10_000], encoding="utf-8", errors="backslashreplace")
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=home) as folder:
            faulthandler.dump_traceback_later(HANGS, exit=True)
            outcome: Outcome = judge(kind.run, case, Path(folder))
            faulthandler.cancel_dump_traceback_later()
        counts[outcome.verdict] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.megabytes)
        if outcome.verdict == "failed" and len(faults) < shown:
            faults.append(f"{repr(case)[:600]}\n    {outcome.why}")

    with tempfile.TemporaryDirectory(prefix="mindcold-fuzz-") as home:
        one()
    return {
        "kind": kind.KIND,
        "cases": sum(counts.values()),
        **{verdict: counts[verdict] for verdict in ("accepted", "refused", "failed")},
        "seconds": round(time.monotonic() - began, 1),
        "slowest": round(slowest, 2),
        "megabytes": round(largest),
        "faults": faults,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    known = find_kinds()
    parser.add_argument("--cases", type=int, default=5000, help="of all kinds together")
    parser.add_argument("--only", action="append", choices=known, help="this kind, which may be given several times")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts")
    args = parser.parse_args()
    chosen = args.only or list(known)
    share, more = divmod(max(args.cases, len(chosen)), len(chosen))
    rows = []
    for i, name in enumerate(chosen):
        rows.append(fuzz(known[name], share + (i < more), args.seed))
        for fault in rows[-1]["faults"]:
            print(f"{name}: {fault}", flush=True)
    total = {key: sum(row[key] for row in rows) for key in ("cases", "accepted", "refused", "failed", "seconds")}
    table = [{key: value for key, value in row.items() if key != "faults"} for row in [*rows, {"kind": "all"} | total]]
    print(tabulate(table, headers="keys"))
    if args.json:
        args.json.write_text(json.dumps({"seed": args.seed, "kinds": rows, "total": total}, indent=2) + "\n")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
