"""The demo: a few held-out word problems and the accuracy over many, for base greedy, LoRA greedy and CoLD."""

import argparse
import json
import sys
import textwrap
import time
from typing import Any

from mindcold.errors import MindcoldError

METHODS: dict[str, dict[str, Any]] = {
    "base greedy": {"method": "greedy", "adapter": "base"},
    "LoRA greedy": {"method": "greedy"},
    "CoLD": {"method": "cold"},
}


def main() -> int:
    """Run the demo; errors a user can cause end in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny-base", help="model folder or zoo name")
    parser.add_argument("--adapter", default="tiny-steps", help="adapter folder or zoo name")
    parser.add_argument("--problems", type=int, default=200, help="held-out problems for the accuracy (default 200)")
    parser.add_argument("--shown", type=int, default=5, help="problems shown in full (default 5)")
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    args = parser.parse_args()
    try:
        results = measure(args)
    except MindcoldError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(results))
    else:
        show(results, args.shown)
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Decode every problem with every method."""
    from mindcold.llm import load
    from mindcold.model_zoo.corpus.problems import answer_of, held_out

    problems = held_out(0, args.problems)
    llm = load(args.model, args.adapter)
    results: dict[str, Any] = {"problems": [{"prompt": item.prompt, "answer": item.answer} for item in problems]}
    for name, settings in METHODS.items():
        options = {"alpha": args.alpha, "beta": args.beta} if name == "CoLD" else {}
        print(f"{name} ...", file=sys.stderr)
        llm.generate([item.prompt for item in problems[:8]], max_new_tokens=2, **settings)  # compiles the graphs
        started = time.perf_counter()
        outputs = llm.generate(
            [item.prompt for item in problems], max_new_tokens=80, progress=True, **settings, **options
        )
        seconds = time.perf_counter() - started
        right = [answer_of(out.text) == item.answer for out, item in zip(outputs, problems, strict=True)]
        results[name] = {
            "texts": [out.text.strip() for out in outputs],
            "right": right,
            "accuracy": sum(right) / len(right),
            "tokens_per_second": round(sum(len(out.token_ids) for out in outputs) / seconds, 1),
        }
    return results


def show(results: dict[str, Any], shown: int) -> None:
    """Print the problems and the table."""
    for i, problem in enumerate(results["problems"][:shown]):
        print()
        print(
            textwrap.fill(
                problem["prompt"].removesuffix("Answer:").strip(), 110, initial_indent="  ", subsequent_indent="  "
            )
        )
        print(f"  right answer: {problem['answer']}")
        for name in METHODS:
            mark = "right" if results[name]["right"][i] else "wrong"
            text = textwrap.shorten(results[name]["texts"][i], 84, placeholder=" ...")
            print(f"    {name:<12} {mark}  {text}")
    count = len(results["problems"])
    print(f"\n{'':14}accuracy over {count} held-out problems    tokens/s (8 prompts together)")
    for name in METHODS:
        accuracy, rate = results[name]["accuracy"], results[name]["tokens_per_second"]
        print(f"{name:<14}{accuracy:>7.1%} {'#' * round(accuracy * 30):<36}{rate:>8}")


if __name__ == "__main__":
    sys.exit(main())
