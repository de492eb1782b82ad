"""What drafts gain: time per token, passes and acceptance on text that is easy to foresee, hard, and impossible."""

import statistics
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from mindcold.llm import BASE, LLM
from mindcold.model_zoo.corpus import problems

METHODS: dict[str, dict[str, Any]] = {
    "base greedy": {"method": "greedy", "adapter": BASE},
    "LoRA greedy": {"method": "greedy"},
    "ADED": {"method": "aded"},
    "CoLD": {"method": "cold"},
    "CoLD + trigram": {"method": "cold", "draft": "trigram"},
}

NOISE = {"method": "sample", "temperature": 1000.0, "eos_token_id": []}
"""Sampling so hot that every token is random: nothing can be foreseen."""


DRAFTS = ("none", "trigram")


@dataclass(slots=True)
class Run:
    """Counts of one method over some prompts, and its milliseconds per token in each round."""

    tokens: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0
    ms_per_token: list[float] = field(default_factory=list)
    accepted_per_pass: list[float] = field(default_factory=list)
    """Of each prompt in the order they were decoded."""

    @property
    def median(self) -> float:
        return statistics.median(self.ms_per_token)


def tasks(count: int) -> list[str]:
    """Held-out problems of the shipped model."""
    return [item.prompt for item in problems.held_out(0, count)]


def copies(count: int) -> list[str]:
    """Problems that come again: each prompt holds three solved ones, of which the asked one is the first."""
    items = list(problems.held_out(1, 3 * count))
    groups = [items[i : i + 3] for i in range(0, len(items), 3)]
    return [" ".join(x.prompt + problems.solution(x) for x in group) + " " + group[0].prompt for group in groups]


def measure(llm: LLM, count: int, rounds: int, new_tokens: int) -> dict[str, dict[str, Run]]:
    """Every method on every kind of text, in turn, `rounds` times; each round starts with an untaught drafter."""
    kinds = {"tasks": tasks(count), "copy": copies(count), "random": tasks(count)}
    results: dict[str, dict[str, Run]] = {kind: {} for kind in kinds}
    cases: list[tuple[str, str, list[str], dict[str, Any]]] = []
    for kind in ("tasks", "copy"):
        cases += [(kind, name, kinds[kind], setting) for name, setting in METHODS.items()]
    cases += [("random", f"sampling, draft {draft}", kinds["random"], NOISE | {"draft": draft}) for draft in DRAFTS]
    with tqdm(total=(rounds + 1) * len(cases), desc="drafts", unit="run", disable=None) as bar:
        for i in range(rounds + 1):  # the first compiles the graphs and measures the cost of rows
            for kind, name, prompts, setting in cases:
                llm.forget_drafts()
                run = one_round(llm, prompts, setting | {"max_new_tokens": new_tokens})
                if i:
                    total = results[kind].setdefault(name, Run())
                    total.ms_per_token += run.ms_per_token
                    total.tokens, total.passes = run.tokens, run.passes
                    total.drafted, total.accepted = run.drafted, run.accepted
                    total.accepted_per_pass = run.accepted_per_pass
                bar.update()
    return results


def one_round(llm: LLM, prompts: list[str], setting: dict[str, Any]) -> Run:
    """All prompts one by one; the time counts from the first token of each."""
    run, seconds, counted = Run(), 0.0, 0
    for i, prompt in enumerate(prompts):
        out = llm.generate(prompt, seed=i, **setting)
        new, stats = len(out.token_ids), out.stats
        if stats["tokens_per_second"]:
            seconds += (new - 1) / stats["tokens_per_second"]
            counted += new - 1
        run.tokens += new
        run.passes += stats["target_passes"]
        run.drafted += stats["drafted"]
        run.accepted += stats["accepted"]
        run.accepted_per_pass.append(stats["accepted"] / stats["target_passes"])
    run.ms_per_token.append(1e3 * seconds / counted)
    return run


def rows(results: dict[str, dict[str, Run]]) -> list[dict[str, Any]]:
    """A table: time per token beside base greedy and the same method without drafts, and what became of the drafts."""
    out = []
    for kind, runs in results.items():
        for name, run in runs.items():
            row: dict[str, Any] = {"text": kind, "method": name, "ms_per_token": round(run.median, 3)}
            plain = {"ADED": "LoRA greedy", "CoLD + trigram": "CoLD", "sampling, draft trigram": "sampling, draft none"}
            for title, other in (("x base greedy", "base greedy"), ("x undrafted", plain.get(name, name))):
                row[title] = round(ratio(run, runs[other]), 3) if other in runs else None
            row["tokens per pass"] = round(run.tokens / run.passes, 2)
            row["drafted per pass"] = round(run.drafted / run.passes, 2)
            row["accepted"] = f"{run.accepted / run.drafted:.0%}" if run.drafted else None
            out.append(row)
    return out


def ratio(one: Run, other: Run) -> float:
    """Median over the rounds of one run's time per token by another's."""
    return statistics.median(a / b for a, b in zip(one.ms_per_token, other.ms_per_token, strict=True))
