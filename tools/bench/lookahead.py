"""Lookahead on polite replies, over lookahead lengths and candidate counts, and as a picture.

Polite replies are easy: every held-out reply occurs word for word in the training texts, only the questions differ.
They show that the search finds what the reward asks for, not that it writes anything new.
"""

import argparse
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from mindcold.bench import cases, generations, pictures
from mindcold.bench.items import WARM_UP, Item, words
from mindcold.bench.lookahead import NEW_TOKENS, rows
from mindcold.bench.report import show
from mindcold.errors import MindcoldError
from mindcold.llm import load
from mindcold.model_zoo.corpus import replies
from mindcold.model_zoo.harmless import Harmless

GRID = [(length, candidates) for length in (0, 4, 8, 12) for candidates in (2, 4, 8)]


def polite(split: str, count: int) -> list[Item]:
    """Questions whose replies should be polite."""
    reward = Harmless()
    return [Item(item.prompt, None, reward, item.solution) for item in islice(getattr(replies, split)(0), count)]


def grid(llm, items: list[Item], warm_up: list[str]) -> list[dict[str, Any]]:
    """CDLH and CDSL over lookahead lengths and candidate counts, one round."""
    found = []
    for length, candidates in GRID:
        setting = {"lookahead": length, "candidates": candidates}
        chosen = {name: cases.lookahead("tiny-draft")[name] for name in ("LoRA greedy", "CDLH", "CDSL")}
        for name in ("CDLH", "CDSL"):
            chosen[name] = cases.Case(chosen[name].settings | setting, warmed_up=True)
        runs = generations.measure(llm, items, chosen, 1, NEW_TOKENS, warm_up)
        table = rows(llm, runs, dict.fromkeys(runs, 0.0), items)
        kept = ("method", "ms per text", "CDLH / this", "mean reward", "all satisfied")
        found += [setting | {key: row[key] for key in kept} for row in table[1:]]
    return found


def measure(args: argparse.Namespace) -> None:
    """Measure, print and draw."""
    if args.picture:
        pictures.require_matplotlib()
    chosen = cases.select(cases.lookahead("tiny-draft"), args.only, ("LoRA greedy", "CDLH"))
    split = "validation" if args.validation else "held_out"
    draft_llm = load("tiny-draft")
    result: dict[str, Any] = {"setting": {"model": "tiny-base", "count": args.count, "rounds": args.rounds}}
    for title, adapter, source in (("keywords", "tiny-keywords", words), ("polite replies", "tiny-replies", polite)):
        llm, items = load("tiny-base", adapter), source(split, args.count)
        warm_up = [item.prompt + item.completion for item in source("training", WARM_UP)]
        found = generations.measure(llm, items, chosen, args.rounds, NEW_TOKENS, warm_up, draft_llm)
        together = generations.measure_together(llm, items, chosen, args.rounds, NEW_TOKENS, draft_llm)
        result[title] = rows(llm, found, together, items)
        if args.grid and title == "keywords":
            result["grid"] = grid(llm, items, warm_up)
    if args.picture:
        pictures.satisfaction({title: result[title] for title in ("keywords", "polite replies")}, args.picture)
    show(result, args.json, args.output, "toy-lookahead")


def main() -> int:
    """Run it; errors a user can cause end in one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="texts of each task (default 40)")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds (default 3)")
    parser.add_argument("--validation", action="store_true", help="the validation split, to choose settings on")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="cases whose names hold one of these")
    parser.add_argument("--grid", action="store_true", help="also measure lookahead lengths and candidate counts")
    parser.add_argument("--output", type=Path, help="folder for the result as JSON")
    parser.add_argument("--picture", type=Path, help="draw satisfaction against time to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    try:
        measure(parser.parse_args())
    except MindcoldError as error:
        print(f"lookahead: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
