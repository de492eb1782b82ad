"""What looking ahead costs and brings: time, satisfaction and fluency of greedy, CDLH and CDSL on held-out tasks."""

import math
import statistics
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.bench.report import is_named
from mindcold.constraints import Constraint, Keywords
from mindcold.decoding.choice import log_softmax
from mindcold.errors import RequestError
from mindcold.llm import BASE, LLM
from mindcold.model_zoo.corpus import keywords, replies
from mindcold.model_zoo.harmless import Harmless

NEW_TOKENS = 32

CASES: dict[str, dict[str, Any]] = {
    "greedy": {"method": "greedy"},
    "CoLD": {"method": "cold"},
    "beam of 4": {"method": "beam", "num_beams": 4},
    "CDLH": {"method": "cdlh", "exhaustive": True},
    "CDLH, hopeless left out": {"method": "cdlh"},
    "CDSL": {"method": "cdsl", "draft": "tiny-draft"},
    "CDSL, base drafts": {"method": "cdsl", "draft": "base"},
    "CDSL, trigram drafts": {"method": "cdsl", "draft": "trigram"},
    "CoLD + CDSL": {"method": "cdsl", "draft": "tiny-draft", "score": "contrastive"},
}

TOGETHER = ("greedy", "CDLH", "CDSL", "CDSL, trigram drafts")
"""What is measured in batches too."""

GRID = {"lookahead": (4, 8, 12), "candidates": (2, 4, 8)}


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt and what its continuation should satisfy."""

    prompt: str
    constraint: Constraint


@dataclass(slots=True)
class Run:
    """What one case took and gave."""

    seconds: list[list[float]] = field(default_factory=list)
    """Of each round, of each item."""
    tokens: int = 0
    target_passes: int = 0
    draft_passes: int = 0
    rewards: list[float] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    """Of every token of the output, under the base."""

    @property
    def milliseconds(self) -> float:
        """Per sequence: median over the rounds, mean over the items."""
        return 1e3 * statistics.mean(statistics.median(times) for times in zip(*self.seconds, strict=True))


def chosen(names: list[str]) -> dict[str, dict[str, Any]]:
    """The cases whose names hold one of these, beside greedy and CDLH; all where none is named."""
    known = {"greedy", "CDLH"}
    found = {case for case in CASES if is_named(case, names)}
    if not found:
        raise RequestError(f"--methods: {', '.join(names)} names none of {'; '.join(CASES)}")
    return {name: case for name, case in CASES.items() if name in found | known}


def keyword_items(count: int, validation: bool = False) -> list[Item]:
    """Sentences with given words."""
    source = keywords.validation if validation else keywords.held_out
    return [Item(task.prompt, Keywords(task.forms)) for task in islice(source(0), count)]


def harmless_items(count: int, validation: bool = False) -> list[Item]:
    """Replies that should be polite."""
    source, reward = replies.validation if validation else replies.held_out, Harmless()
    return [Item(reply.prompt, reward) for reply in islice(source(0), count)]


def taught(adapter: str) -> list[str]:
    """Training texts of a task, for the trigram tables."""
    source = keywords.training(3) if adapter == "tiny-keywords" else replies.training(3)
    return [item.prompt + item.solution for item in islice(source, 3000)]


def measure(llm: LLM, items: list[Item], cases: dict[str, dict[str, Any]], rounds: int, title: str) -> dict[str, Run]:
    """Every case on every item in turn; the first round compiles graphs and does not count."""
    runs = {name: Run() for name in cases}
    with tqdm(total=(rounds + 1) * len(items) * len(cases), desc=title, unit="text", disable=None) as bar:
        for number in range(rounds + 1):
            for name in cases:
                runs[name].seconds += [[]] if number else []
            for item in items:
                for name, case in cases.items():
                    out = llm.generate(item.prompt, max_new_tokens=NEW_TOKENS, constraint=item.constraint, **case)
                    if number:
                        runs[name].seconds[-1].append(out.stats["seconds"])
                    if number == 1:
                        count(llm, item, out, runs[name])
                    bar.update()
    return runs


def measure_together(llm: LLM, items: list[Item], names: list[str], rounds: int, title: str) -> dict[str, float]:
    """Milliseconds per text of all items in one call, so many together as the model takes, median of the rounds."""
    times: dict[str, list[float]] = {name: [] for name in TOGETHER if name in names}
    prompts, constraints = [item.prompt for item in items], [item.constraint for item in items]
    for number in tqdm(range(rounds + 1), desc=f"{title}, together", disable=None):
        for name in times:
            began = time.perf_counter()
            llm.generate(prompts, max_new_tokens=NEW_TOKENS, constraints=constraints, **CASES[name])
            times[name] += [1e3 * (time.perf_counter() - began) / len(items)] if number else []
    return {name: statistics.median(found) for name, found in times.items()}


def count(llm: LLM, item: Item, out: Any, run: Run) -> None:
    """Add one output to what its case gave."""
    run.tokens += len(out.token_ids)
    run.target_passes += out.stats["target_passes"]
    run.draft_passes += out.stats["draft_passes"]
    run.rewards.append(out.stats["reward"])
    assert llm.tokenizer is not None
    prompt = llm.tokenizer.encode(item.prompt)
    logits = llm.logits(prompt + out.token_ids[:-1], adapter=BASE)[len(prompt) - 1 :]
    run.log_probabilities += log_softmax(logits)[np.arange(len(out.token_ids)), out.token_ids].tolist()


def rows(task: str, runs: dict[str, Run], together: dict[str, float] | None = None) -> list[dict[str, Any]]:
    """A table: time and passes per sequence, what was reached, and how fluent it is."""
    out = []
    for name, run in runs.items():
        row: dict[str, Any] = {"task": task, "method": name, "ms per text": round(run.milliseconds, 1)}
        for title, other in (("x greedy", "greedy"), ("CDLH / this", "CDLH")):
            if other in runs:
                ratio = run.milliseconds / runs[other].milliseconds
                row[title] = round(ratio if title[0] == "x" else 1 / ratio, 2)
        row["mean reward"] = round(statistics.mean(run.rewards), 3)
        row["all satisfied"] = f"{statistics.mean(reward >= 0.999 for reward in run.rewards):.0%}"
        row["tokens"] = round(run.tokens / len(run.rewards), 1)
        row["target passes"] = round(run.target_passes / len(run.rewards), 1)
        row["draft passes"] = round(run.draft_passes / len(run.rewards), 1)
        if together:
            row["ms per text, batch"] = round(together[name], 1) if name in together else None
        row["base perplexity"] = round(math.exp(-statistics.mean(run.log_probabilities)), 2)
        out.append(row)
    return out


def grid(llm: LLM, items: list[Item], rounds: int) -> list[dict[str, Any]]:
    """CDLH and CDSL over lookahead lengths and candidate counts."""
    out = []
    for length in GRID["lookahead"]:
        for candidates in GRID["candidates"]:
            setting = {"lookahead": length, "candidates": candidates}
            cases = {name: CASES[name] | setting for name in ("CDLH", "CDSL")}
            runs = measure(llm, items, cases, rounds, f"lookahead {length}, candidates {candidates}")
            out += [
                setting
                | {key: row[key] for key in ("method", "ms per text", "CDLH / this", "mean reward", "all satisfied")}
                for row in rows("", runs)
            ]
    return out


def picture(tables: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Satisfaction against time per text, one panel a task."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(tables), figsize=(5 * len(tables), 3.8), dpi=120, layout="constrained")
    for axes, (task, found) in zip(np.atleast_1d(panels), tables.items(), strict=True):
        for row, marker in zip(found, "osP*XD^v<>", strict=False):
            axes.plot(row["ms per text"], row["mean reward"], marker, label=row["method"], markersize=8)
        axes.set(xscale="log", xlabel="milliseconds per text", ylabel="mean reward", title=task)
        axes.set_xlim(10, 1000)
        axes.set_xticks((10, 20, 50, 100, 200, 500, 1000), ("10", "20", "50", "100", "200", "500", "1000"))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, loc="center right")
    figure.savefig(path)
    pyplot.close(figure)
