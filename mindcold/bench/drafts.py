"""What drafts gain: time per token, passes and acceptance on text that is easy to foresee, hard, and impossible."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mindcold.bench.report import is_named
from mindcold.llm import BASE, LLM
from mindcold.model_zoo.corpus import edits, problems

SEEDED = 3000
"""Training texts that fill the shared table where a case says so."""

NOISE = {"method": "sample", "temperature": 1000.0, "eos_token_id": []}
"""Sampling so hot that every token is random: nothing can be foreseen."""


@dataclass(frozen=True, slots=True)
class Case:
    """A way to decode, and what its time is measured by."""

    name: str
    setting: dict[str, Any]
    plain: str
    """The same without drafts."""
    seeded: bool = False


TASKS = (
    Case("base greedy", {"method": "greedy", "adapter": BASE}, "base greedy"),
    Case("LoRA greedy", {"method": "greedy"}, "LoRA greedy"),
    Case("ADED", {"method": "aded"}, "LoRA greedy", seeded=True),
    Case("ADED, untaught", {"method": "aded"}, "LoRA greedy"),
    Case("ADED, as published", {"method": "aded", "search": "mcts", "adaptation": "aded"}, "LoRA greedy", seeded=True),
    Case("CoLD", {"method": "cold"}, "CoLD"),
    Case("CoLD + trigram", {"method": "cold", "draft": "trigram"}, "CoLD", seeded=True),
    Case("CoLD + trigram, untaught", {"method": "cold", "draft": "trigram"}, "CoLD"),
)

COPIES = (
    Case("base greedy", {"method": "greedy", "adapter": BASE}, "base greedy"),
    Case("LoRA greedy", {"method": "greedy"}, "LoRA greedy"),
    Case("ADED", {"method": "aded"}, "LoRA greedy", seeded=True),
    Case("ADED, untaught", {"method": "aded"}, "LoRA greedy"),
)

RANDOM = (
    Case("sampling", NOISE, "sampling"),
    Case("sampling + trigram", NOISE | {"draft": "trigram"}, "sampling"),
)

SIZES = (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15)
"""Tree sizes of the picture."""


@dataclass(slots=True)
class Run:
    """What one case took and gave, prompt by prompt."""

    seconds: list[list[float]] = field(default_factory=list)
    """Of each round, of each prompt, from its first token on."""
    tokens: list[int] = field(default_factory=list)
    """Of each prompt, after the first."""
    passes: list[int] = field(default_factory=list)
    drafted: int = 0
    drafting: float = 0.0
    lengths: list[int] = field(default_factory=list)
    """Passes that accepted no draft token, one, two, ..."""

    @property
    def ms_per_token(self) -> float:
        """Median over the rounds for each prompt, then over all tokens."""
        middle = [statistics.median(times) for times in zip(*self.seconds, strict=True)]
        return 1e3 * sum(middle) / sum(self.tokens)

    def add(self, out: Any, first: bool) -> float:
        """Count one generation; its seconds after the first token."""
        new, stats = len(out.token_ids), out.stats
        if first:
            self.tokens.append(new - 1)
            self.passes.append(stats["target_passes"] - 1)
            self.drafted += stats["drafted"]
            lengths = stats["accept_lengths"]
            self.lengths += [0] * (len(lengths) - len(self.lengths))
            for length, count in enumerate(lengths):
                self.lengths[length] += count
        self.drafting += stats["drafting_seconds"]
        return (new - 1) / stats["tokens_per_second"] if stats["tokens_per_second"] else 0.0


def chosen(cases: tuple[Case, ...], names: Sequence[str]) -> tuple[Case, ...]:
    """The cases whose names hold one of these, and what they are compared with; all where none is named."""
    kept = [case for case in cases if is_named(case.name, names)]
    wanted = {"base greedy", *(case.name for case in kept), *(case.plain for case in kept)}
    return tuple(case for case in cases if case.name in wanted) if kept else ()


def tasks(count: int) -> list[str]:
    """Held-out problems of the shipped model."""
    return [item.prompt for item in problems.held_out(0, count)]


def taught(count: int) -> list[str]:
    """Training problems with their solutions."""
    return [item.prompt + problems.solution(item) for item in problems.training(0, count)]


def copies(count: int) -> list[str]:
    """Held-out texts to be repeated, changed or shortened."""
    return [item.prompt for item in islice(edits.held_out(0), count)]


def taught_copies(count: int) -> list[str]:
    """Training texts with what becomes of them."""
    return [item.prompt + item.solution for item in islice(edits.training(0), count)]


def measure(
    llm: LLM, prompts: list[str], cases: tuple[Case, ...], rounds: int, new_tokens: int, seeds: Sequence[str] = ()
) -> dict[str, Run]:
    """Every case on every prompt in turn, so that whatever the machine does meets all of them alike.

    Each round starts with untaught drafters, or with the training texts `seeds` where the case says so; the first round
    compiles graphs and does not count. The budgets of all cases learn from all rounds.
    """
    llm.seed_drafts(seeds)
    shared = llm.trigrams.shared
    runs = {case.name: Run() for case in cases}
    title = cases[-1].name
    with tqdm(total=(rounds + 1) * len(prompts) * len(cases), desc=title, unit="prompt", disable=None) as bar:
        for number in range(rounds + 1):
            tables = {}
            for case in cases:
                llm.forget_drafts()
                if case.seeded:
                    llm.trigrams.shared = shared
                tables[case.name] = llm.trigrams
            seconds: dict[str, list[float]] = {case.name: [] for case in cases}
            for i, prompt in enumerate(prompts):
                for case in cases:
                    llm.trigrams = tables[case.name]
                    out = llm.generate(prompt, seed=i, max_new_tokens=new_tokens, **case.setting)
                    if number:
                        seconds[case.name].append(runs[case.name].add(out, first=number == 1))
                    bar.update()
            for case in cases:
                if number:
                    runs[case.name].seconds.append(seconds[case.name])
    return runs


def rows(text: str, runs: dict[str, Run], cases: tuple[Case, ...]) -> list[dict[str, Any]]:
    """A table: time per token beside base greedy and the same method without drafts, and what became of the drafts."""
    out = []
    for case in cases:
        run = runs[case.name]
        row: dict[str, Any] = {"text": text, "method": case.name, "ms_per_token": round(run.ms_per_token, 3)}
        for title, other in (("x base greedy", "base greedy"), ("x undrafted", case.plain)):
            row[title] = round(run.ms_per_token / runs[other].ms_per_token, 3) if other in runs else None
        row["tokens per pass"] = round(sum(run.tokens) / sum(run.passes), 2)
        row["drafted per pass"] = round(run.drafted / sum(run.passes), 2)
        accepted = sum(length * count for length, count in enumerate(run.lengths))
        row["accepted"] = f"{accepted / run.drafted:.0%}" if run.drafted else None
        row["drafting"] = f"{run.drafting / sum(map(sum, run.seconds)):.1%}" if run.drafted else None
        row["passes with 0, 1, 2 ... accepted"] = " ".join(map(str, run.lengths)) if run.drafted else None
        out.append(row)
    return out


def by_size(llm: LLM, count: int, rounds: int, new_tokens: int) -> dict[str, dict[int, float]]:
    """Time per token of trees of a set size by that of the same method without drafts, for each size."""
    cases = [TASKS[0], TASKS[1], TASKS[5]]
    for name, setting, plain in (
        ("ADED", {"method": "aded"}, "LoRA greedy"),
        ("CoLD + trigram", {"method": "cold"}, "CoLD"),
    ):
        for size in SIZES if name == "ADED" else SIZES[:7]:
            own = setting | {"draft": "trigram", "draft_tokens": size}
            cases.append(Case(f"{name} {size}", own, plain, seeded=True))
    runs = measure(llm, tasks(count), tuple(cases), rounds, new_tokens, taught(SEEDED))
    found: dict[str, dict[int, float]] = {}
    for case in cases[3:]:
        name, _, nodes = case.name.rpartition(" ")
        found.setdefault(name, {})[int(nodes)] = runs[case.plain].ms_per_token / runs[case.name].ms_per_token
    return found


def growth(llm: LLM, count: int, new_tokens: int) -> dict[str, list[float]]:
    """Tokens per pass of prompt after prompt, from untaught on, with trees of seven nodes."""
    cases = (
        Case("ADED", {"method": "aded", "draft_tokens": 7}, "ADED"),
        Case("CoLD + trigram", {"method": "cold", "draft": "trigram", "draft_tokens": 7}, "CoLD + trigram"),
    )
    runs = measure(llm, tasks(count), cases, 1, new_tokens)
    return {
        name: [tokens / max(passes, 1) for tokens, passes in zip(run.tokens, run.passes, strict=True)]
        for name, run in runs.items()
    }


def picture(sizes: dict[str, dict[int, float]], curves: dict[str, list[float]], path: Path) -> None:
    """Speed-up against tree size, and tokens per pass against prompts decoded."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.5, 3.8), dpi=120, layout="constrained")
    for name, points in sizes.items():
        left.plot(list(points), list(points.values()), marker="o", label=name)
    left.axhline(1.0, color="0.6", linewidth=1)
    left.set(xlabel="nodes in the draft tree", ylabel="speed-up over the same without drafts", title="seeded tables")
    for name, values in curves.items():
        width = max(1, min(25, len(values) // 4))
        smooth = np.convolve(values, np.ones(width) / width, "valid")
        right.plot(np.arange(width, len(values) + 1), smooth, label=name)
    right.set(xlabel="prompts decoded, from empty tables", ylabel="tokens per pass (moving mean)", title="adaptation")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path)
    pyplot.close(figure)
