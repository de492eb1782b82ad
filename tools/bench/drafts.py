"""Drafts on two more texts of the shipped corpus, by tree size, and as tables fill.

Copies: texts to be repeated, changed or shortened, where answers are in the prompt. Random: sampling so hot that
nothing can be foreseen, which shows what drafting costs where it cannot gain.
"""

import argparse
import statistics
import sys
from itertools import islice
from pathlib import Path

from mindcold.bench import generations, pictures
from mindcold.bench.cases import DRAFTS, Case
from mindcold.bench.drafts import NEW_TOKENS, rows
from mindcold.bench.items import WARM_UP, Item, arithmetic
from mindcold.bench.report import show
from mindcold.errors import MindcoldError
from mindcold.llm import load
from mindcold.model_zoo.corpus import edits

HOT = {"method": "sample", "temperature": 1000.0, "eos_token_id": []}
RANDOM = {
    "sampling": Case(HOT),
    "sampling + trigram drafts, cold start": Case(HOT | {"draft": "trigram"}, "sampling"),
}
COPIES = {name: case for name, case in DRAFTS.items() if "CoLD" not in name and "published" not in name}
SIZES = (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 31, 63)


def copies(split: str, count: int) -> list[Item]:
    """Texts to be repeated, changed or shortened."""
    return [Item(item.prompt, completion=item.solution) for item in islice(getattr(edits, split)(0), count)]


def texts(items: list[Item]) -> list[str]:
    """Prompts with their completions."""
    return [item.prompt + item.completion for item in items]


def by_size(llm, count: int, rounds: int) -> dict[str, dict[int, float]]:
    """Speed-up of trees of each size over the same method without drafts."""
    cases = {"LoRA greedy": DRAFTS["LoRA greedy"], "CoLD": DRAFTS["CoLD"]}
    for plain, method in (("LoRA greedy", "greedy"), ("CoLD", "cold")):
        for size in SIZES:
            own = {"method": method, "draft": "trigram", "draft_tokens": size}
            cases[f"{plain} {size}"] = Case(own, plain, warmed_up=True)
    warm_up = texts(arithmetic("training", WARM_UP))
    found = generations.measure(llm, arithmetic("held_out", count), cases, rounds, NEW_TOKENS, warm_up)
    times = {name: generations.per_token(runs) for name, runs in found.items()}
    return {
        f"{plain} + trigram drafts": {size: times[plain] / times[f"{plain} {size}"] for size in SIZES}
        for plain in ("LoRA greedy", "CoLD")
    }


def growth(llm, count: int) -> dict[str, list[float]]:
    """Tokens per pass of prompt after prompt, from empty tables, with trees of seven nodes."""
    cases = {
        "LoRA greedy + trigram drafts": Case({"method": "greedy", "draft": "trigram", "draft_tokens": 7}),
        "CoLD + trigram drafts": Case({"method": "cold", "draft": "trigram", "draft_tokens": 7}),
    }
    found = generations.measure(llm, arithmetic("held_out", count), cases, 1, NEW_TOKENS)
    return {
        name: [(len(out.token_ids) - 1) / max(1, out.stats.target_passes - 1) for out in runs[0]]
        for name, runs in found.items()
    }


def measure(args: argparse.Namespace) -> None:
    """Measure, print and draw."""
    if args.picture:
        pictures.require_matplotlib()
    editor, llm = load("tiny-base", "tiny-edits"), load("tiny-base", "tiny-steps")
    tables = {}
    for title, model, items, cases, warm_up in (
        ("copies", editor, copies("held_out", args.count), COPIES, texts(copies("training", WARM_UP))),
        ("random", llm, arithmetic("held_out", args.count), RANDOM, []),
    ):
        found = generations.measure(model, items, cases, args.rounds, NEW_TOKENS, warm_up)
        tables[title] = [{"text": title} | row for row in rows(found, cases, items)]
    setting = {"model": "tiny-base", "count": args.count, "rounds": args.rounds}
    result: dict = {"setting": setting} | tables
    if args.picture:
        sizes, curves = by_size(llm, args.count, args.rounds), growth(llm, 200)
        result["growth"] = [
            {
                "method": name,
                "first hundred": statistics.mean(found[:100]),
                "second hundred": statistics.mean(found[100:]),
            }
            for name, found in curves.items()
        ]
        result["sizes"] = [{"nodes": size} | {name: found[size] for name, found in sizes.items()} for size in SIZES]
        pictures.drafts(sizes, curves, args.picture)
    show(result, args.json, args.output, "toy-drafts")


def main() -> int:
    """Run it; errors a user can cause end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="prompts of each text (default 40)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--output", type=Path, help="folder for the result as JSON")
    parser.add_argument("--picture", type=Path, help="also measure tree sizes and growth, and draw them to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    try:
        measure(parser.parse_args())
    except MindcoldError as error:
        print(f"drafts: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
