"""The demo on SmolLM2-135M: sentences with given words by greedy, CoLD and CDSL, and what drafts save on longer texts.

The adapter is the zoo's for CommonGen, or the folder that MINDCOLD_ADAPTER names.
"""

import argparse
import json
import os
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from mindcold.errors import MindcoldError

MODEL, ADAPTER = "smollm2-135m", "smollm2-commongen"

SETS = """
dog ball catch park =
child kitchen bake cake =
man guitar sing street crowd =
boat lake fish morning =
girl bike ride hill helmet =
horse field run fence =
cook pan egg breakfast =
woman read book window rain =
"""
"""Sets of words in CommonGen's format, made up."""

QUESTIONS = (
    "Repeat this text word for word: The ferry leaves at nine from the old harbour. It calls at three islands before "
    "noon, and it comes back from the old harbour of the third island at six.",
    "Write a Python function that adds up a list of numbers, then the same function for products.",
    "What should I think of before I adopt a dog?",
)
"""Longer texts, by the base model."""

DRAFTED = ", drafts"
"""Ends the name of a row that is another one with drafts."""

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "base greedy": ("greedy", {"adapter": "base"}),
    "LoRA greedy": ("greedy", {}),
    "CoLD": ("cold", {}),
    "CoLD" + DRAFTED: ("cold", {"draft": "trigram"}),
    "CDSL": ("cdsl", {}),
    "CDSL by CoLD": ("cdsl", {"score": "contrastive"}),
}
DRAFTS: dict[str, tuple[str, dict[str, Any]]] = {
    "greedy": ("greedy", {"adapter": "base"}),
    "greedy" + DRAFTED: ("greedy", {"adapter": "base", "draft": "trigram"}),
}


def main() -> int:
    """Run the demo; errors a user can cause end in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adapter", default=os.environ.get("MINDCOLD_ADAPTER", ADAPTER), help="PEFT folder or name")
    parser.add_argument("--sets", type=int, default=8, help="sets of words (default 8)")
    parser.add_argument("--shown", type=int, default=3, help="sets shown in full (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    args = parser.parse_args()
    try:
        return run(args)
    except MindcoldError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    """Decode, print texts and tables."""
    from mindcold.llm import load
    from mindcold.tasks import TASKS, Item, report
    from mindcold.tasks.evaluate import Evaluation, evaluate
    from mindcold.tasks.methods import MethodSpec
    from mindcold.tasks.prompts import TASK

    def specs(methods: dict[str, tuple[str, dict[str, Any]]]) -> list[MethodSpec]:
        return [MethodSpec(label, method, options) for label, (method, options) in methods.items()]

    llm = load(MODEL, args.adapter)
    parts: dict[str, Evaluation] = {}
    with tempfile.TemporaryDirectory(prefix="mindcold-demo-") as folder:
        path = Path(folder) / "sets.txt"
        path.write_text("\n".join(SETS.strip().splitlines()[: args.sets]), encoding="utf-8")
        items = TASKS["commongen"].read(path)
    parts["sentences with given words"] = evaluate(llm, TASKS["commongen"], items, specs(METHODS))
    questions = [Item(text) for text in QUESTIONS]
    parts["longer texts of the base model"] = evaluate(llm, TASK, questions, specs(DRAFTS), max_new_tokens=96)
    if args.json:
        print(json.dumps({title: [report.plain(row) for row in report.rows(found)] for title, found in parts.items()}))
        return 0
    for title, found in parts.items():
        print(f"\n{title}\n")
        for i, item in enumerate(found.items[: args.shown] if found.metrics else ()):
            print(f"  {item.prompt}")
            for label, records in found.records.items():
                text = textwrap.shorten(records[i].text, 76, placeholder=" ...")
                mark = "all words" if records[i].scores["hard coverage"] else ""
                print(f"    {label:<14} {mark:<10} {text}")
            print()
        print(report.table(report.rows(found), found.metrics))
        for label, records in found.records.items():
            if label.endswith(DRAFTED):
                plain = found.records[label.removesuffix(DRAFTED)]
                same = sum(a.token_ids == b.token_ids for a, b in zip(records, plain, strict=True))
                print(f"{label}: {same} of {len(records)} texts are those without drafts")
    print("\n* the difference to the first row is significant; x first is time beside the first row's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
