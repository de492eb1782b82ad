"""Drafts of ours beside transformers' prompt lookup, live, on the same questions: tokens per pass by group.

    python tools/bench/prompt_lookup.py --data spec-bench.jsonl --peer PYTHON [--methods "greedy;greedy:draft=trigram"]

PYTHON is an interpreter with torch and transformers. Both decode greedily in float32, so that they write the same
texts; prompts are those of `mindcold evaluate --task spec-bench`. Prints the table of `evaluate` with a row for
transformers, for all questions and for each group, and how many of its texts are the same; `--output` writes JSON.
Times are not in turn: they say nothing here.
"""

import argparse
from pathlib import Path

from tabulate import tabulate
from tqdm import tqdm

import mindcold
from mindcold.bench.baseline import Baseline
from mindcold.bench.report import write_json
from mindcold.prompts import PromptEncoder
from mindcold.tasks import spec_bench
from mindcold.tasks.evaluate import Record, evaluate
from mindcold.tasks.methods import parse_methods
from mindcold.tasks.report import group_rows, plain, rows

PEER = "transformers, prompt lookup"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Spec-Bench's questions, JSONL")
    parser.add_argument("--items", default="11,31,51,71", help="numbers of the questions of each group")
    parser.add_argument("--peer", required=True, metavar="PYTHON", help="interpreter with torch and transformers")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--methods", default="greedy;greedy:draft=trigram,draft_tokens=16;greedy:draft=aded")
    parser.add_argument("--lookup-tokens", type=int, default=10, help="tokens of a draft of prompt lookup")
    parser.add_argument("--new-tokens", type=int, default=spec_bench.TASK.max_new_tokens)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the rows as JSON")
    args = parser.parse_args()
    by_group: dict[str, list] = {}
    for item in spec_bench.TASK.read(args.data):
        by_group.setdefault(item.group, []).append(item)
    numbers = [int(number) for number in args.items.split(",")]
    items = [found[number] for found in by_group.values() for number in numbers]
    llm = mindcold.load(args.model, dtype="float32")
    encoder = PromptEncoder(llm.folder, llm.config, llm.tokenizer)
    script = Path(__file__).with_name("prompt_lookup_peer.py")
    peer = Baseline(args.peer, script, llm.folder, "float32", args.lookup_tokens, args.new_tokens)
    result = evaluate(llm, spec_bench.TASK, items, parse_methods(args.methods), max_new_tokens=args.new_tokens)
    records, tokenizer = [], llm.tokenizer
    assert tokenizer is not None
    for item in tqdm(items, desc=PEER, unit="text", disable=None):
        out = peer.ask(ids=encoder.encode(item.message(True)))
        ids = out["tokens"]
        records.append(Record(tokenizer.decode(ids), ids, out["seconds"], out["passes"], 0, {}))
    peer.close()
    result.records[PEER] = records
    found = {"all": rows(result), "groups": group_rows(result)}
    print(tabulate([line(row) for row in found["all"]], headers="keys"))
    print(tabulate([line(row) for row in found["groups"]], headers="keys"))
    if args.output:
        content = {name: [plain(row) for row in part] for name, part in found.items()}
        write_json(args.output, content)


def line(row):
    """What a table shows of a row."""
    figure = row["tokens per pass"]
    shown = f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"
    names = {"group": row.get("group", "all"), "method": row["method"]}
    return names | {"tokens per pass": shown, "same text": row["same text"]}


if __name__ == "__main__":
    main()
