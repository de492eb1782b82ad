"""Every case on every prompt in turn, so that whatever the machine does meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from tqdm import tqdm

from mindcold import Request
from mindcold.bench.cases import Case
from mindcold.bench.items import Item
from mindcold.llm import LLM
from mindcold.output import Output

Rounds = list[list[Output]]  # of each measured round, of each item


def measure(
    llm: LLM,
    items: Sequence[Item],
    cases: dict[str, Case],
    rounds: int,
    new_tokens: int,
    texts: Sequence[str] = (),
    draft_llm: LLM | None = None,
) -> dict[str, Rounds]:
    """Outputs of every case, item after item.

    Each round starts with empty draft tables, or with the tables that `texts` give where a case is warmed up; the first
    round compiles graphs and does not count. `draft_llm` is the model of the cases that are the draft model alone.
    """
    llm.warm_drafts(texts)
    shared = llm.trigrams.shared
    found: dict[str, Rounds] = {name: [] for name in cases}
    with tqdm(total=(rounds + 1) * len(items) * len(cases), unit="text", disable=None) as bar:
        for number in range(rounds + 1):
            tables = {}
            for name, case in cases.items():
                llm.forget_drafts()
                if case.warmed_up:
                    llm.trigrams.shared = shared
                tables[name] = llm.trigrams
                found[name] += [[]] if number else []
            for i, item in enumerate(items):
                for name, case in cases.items():
                    llm.trigrams = tables[name]
                    model = draft_llm if case.draft_model_alone and draft_llm else llm
                    out = model.generate(item.prompt, seed=i, **keywords(item, case, new_tokens))
                    if number:
                        found[name][-1].append(out)
                    bar.update()
    return found


def measure_together(
    llm: LLM, items: Sequence[Item], cases: dict[str, Case], rounds: int, new_tokens: int, draft_llm: LLM | None = None
) -> dict[str, float]:
    """Milliseconds per text of all items in one call, so many together as the model takes, median of the rounds."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in tqdm(range(rounds + 1), desc="together", disable=None):
        for name, case in cases.items():
            model = draft_llm if case.draft_model_alone and draft_llm else llm
            requests = [Request(item.prompt, **keywords(item, case, new_tokens)) for item in items]
            began = time.perf_counter()
            model.generate(requests)
            times[name] += [1e3 * (time.perf_counter() - began) / len(items)] if number else []
    return {name: statistics.median(values) for name, values in times.items()}


def keywords(item: Item, case: Case, new_tokens: int) -> dict[str, Any]:
    """Keywords of `generate`, or of a request, for an item."""
    constraint = {"constraint": item.constraint} if item.constraint else {}
    return case.settings | constraint | {"max_new_tokens": new_tokens}


def milliseconds(rounds: Rounds, seconds: Callable[[Output], float] = lambda out: out.stats.seconds) -> float:
    """Milliseconds per item: median over the rounds, mean over the items."""
    return 1e3 * statistics.mean(statistics.median(map(seconds, outs)) for outs in zip(*rounds, strict=True))


def per_token(rounds: Rounds) -> float:
    """Milliseconds per token after the first of each item."""
    after_first = milliseconds(rounds, lambda out: out.stats.seconds - (out.stats.seconds_to_first_token or 0.0))
    return after_first * len(rounds[0]) / max(1, sum(len(out.token_ids) - 1 for out in rounds[0]))
