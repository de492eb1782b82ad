"""Batch inference on a Ray cluster, or on a local Ray: the input, output and flags of `mindcold batch`.

Records are written as their batches are done, and the same command goes on where it stopped. The paths of model and
adapters must hold on every node, and mindcold must be installed there; the output is written where this runs.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout
from typing import Any

from mindcold.batch.input_file import InputFile, Line
from mindcold.batch.job import Summary, share
from mindcold.batch.journal import Journal
from mindcold.batch.parts import Parts
from mindcold.batch.progress import Progress
from mindcold.batch.response import error_record
from mindcold.cli import batch
from mindcold.errors import BatchError, MindcoldError, one_line
from mindcold.jobs.rank import Rank
from mindcold.jobs.stop import AGAIN
from mindcold.ray import answer_lines, require_ray

PART = Rank(0, 2)
"""What is written first is a part, which is joined to the output in the order of the input."""


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    """The flags of `mindcold batch` and Ray's."""
    parser = argparse.ArgumentParser(prog="batch_ray", description="Decode a file of prompts on Ray Data.")
    batch.add_arguments(parser)
    group = parser.add_argument_group("ray")
    group.add_argument("--address", help="of the cluster (default RAY_ADDRESS, else a local Ray is started)")
    group.add_argument("--concurrency", type=int, default=1, metavar="N", help="workers, each with a model (default 1)")
    group.add_argument("--worker-cpus", type=float, default=1, help="CPUs that Ray keeps for a worker (default 1)")
    group.add_argument(
        "--batch-size", type=int, help="lines sent to a worker at once (default four times --max-batch, or its share)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Do what is left of the job; 75 where a signal stopped it before the end."""
    batch.check_paths(args)
    for name, value in (("--concurrency", args.concurrency), ("--batch-size", args.batch_size)):
        if value is not None and value < 1:
            raise BatchError(f"{name}: an integer from 1 is expected, found {value}")
    if not args.worker_cpus > 0:
        raise BatchError(f"--worker-cpus: a number above 0 is expected, found {args.worker_cpus}")
    setting, source, parts = batch.setting_of(args), InputFile(args.input, args.format), Parts(args.output.absolute())
    ray = require_ray()
    manifest = batch.begin(args, source, parts, setting)
    done = parts.done()
    numbers, lines = share(source, done, lambda number: True)
    places = [done[number] for number in numbers if number in done]
    summary = Summary(len(numbers), len(places), sum(place.failed for place in places))
    if summary.done < summary.total:
        batch.say(f"{summary.done} of {summary.total} lines are done; {args.concurrency} workers decode the others")
        # Ray prints what happens to workers; stdout is for the summary
        with closing(Journal(parts.own(PART))) as journal, redirect_stdout(sys.stderr):
            try:
                _start(ray, args.address)
                share_of_worker = -(-(summary.total - summary.done) // args.concurrency)
                found = answer_lines(
                    _readable(lines, journal, summary),
                    setting,
                    source.form,
                    manifest.created,
                    workers=args.concurrency,
                    batch_size=args.batch_size or min(4 * args.max_batch, share_of_worker),
                    cpus=args.worker_cpus,
                )
                _write(found, journal, summary)
            except KeyboardInterrupt:
                summary.stopped = True
            finally:
                ray.shutdown()
    if not summary.stopped:
        parts.merge(numbers)
    batch.report(args, summary)
    return AGAIN if summary.stopped else 0


def _start(ray: Any, address: str | None) -> None:
    """Connect, or start a local Ray; SIGTERM then ends the job as SIGINT does."""
    try:
        ray.init(address, include_dashboard=False, logging_level="error", log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise BatchError(f"--address: {one_line(error)}") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _readable(lines: Iterator[Line], journal: Journal, summary: Summary) -> Iterator[Line]:
    """The lines that can be read; the others get their record here, where all custom_ids are known."""
    for line in lines:
        if line.error is None:
            yield line
        else:
            records = [error_record(line, "invalid_request", line.error)]
            journal.append(records)
            summary.count(records)


def _write(found: Iterator[list[dict[str, Any]]], journal: Journal, summary: Summary) -> None:
    """Write records as they come."""
    began, progress = time.monotonic(), Progress(summary.total, summary.done)
    try:
        for records in found:
            journal.append(records)
            summary.count(records)
            bodies = [item["response"]["body"] for item in records if item["response"]]
            summary.tokens += sum(body["usage"]["completion_tokens"] for body in bodies)
            progress.update(summary.done, summary.tokens, 0, 0)
    finally:
        summary.seconds = round(time.monotonic() - began, 3)
        progress.close()


def main(argv: list[str]) -> int:
    """Run it; errors a user can cause end in one line on stderr and exit code 1."""
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's warnings are for its developers
    try:
        return run(parse_arguments(argv))
    except MindcoldError as error:
        print(f"batch_ray: error: {one_line(error, limit=None)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
