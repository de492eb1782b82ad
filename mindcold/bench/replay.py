"""What drafts would gain on a model whose text is not known: its own output replayed with a set share of hits."""

import statistics
from collections.abc import Sequence
from random import Random
from typing import Any

from tqdm import tqdm

from mindcold.bench.cases import METHODS, Case
from mindcold.decoding import RequestState, Scheduler
from mindcold.drafting import Budget, Draft, Verified
from mindcold.llm import LLM
from mindcold.request import Request


class Replay:
    """A drafter that knows the continuation: a chain whose every token is right with a set probability."""

    best = 0
    size: int | None = None

    def __init__(self, prompt: int, truth: Sequence[int], rate: float, vocab_size: int):
        self._prompt, self._truth, self._rate, self._size = prompt, truth, rate, vocab_size
        self._random = Random(0)

    def propose(self, ids: Sequence[int], budget: int, floor: float = 0.0) -> Draft:
        """The next tokens of the truth, some of them spoilt."""
        ahead = self._truth[len(ids) - self._prompt :][:budget]
        tokens = [t if self._random.random() < self._rate else (t + 1) % self._size for t in ahead]
        return Draft(tokens, list(range(-1, len(tokens) - 1)), [self._rate ** (i + 1) for i in range(len(tokens))])

    def path(self, ids: Sequence[int], length: int, floor: float = 0.0) -> list[int]:
        """None: nothing is rolled out."""
        return []

    def observe(self, ids: Sequence[int], new: int, rows: Verified | None = None) -> None:
        """Nothing to learn."""


def measure(llm: LLM, rates: Sequence[float], prompt: list[int], new_tokens: int, rounds: int) -> list[dict[str, Any]]:
    """Time per token and tokens per pass of base greedy and CoLD, without drafts and with each rate, in turn."""
    names = [name for name in ("base greedy", "CoLD") if llm.adapters or name == "base greedy"]
    keys = [(name, rate) for name in names for rate in (None, *rates)]
    times: dict[tuple[str, float | None], list[float]] = {key: [] for key in keys}
    lengths, truths, budgets = dict[Any, float](), dict[str, list[int]](), {key: Budget() for key in keys}
    with tqdm(total=(rounds + 1) * len(keys), desc="replay", unit="run", disable=None) as bar:
        for number in range(rounds + 1):
            for name, rate in keys:
                drafter = None if rate is None else Replay(len(prompt), truths[name], rate, llm.config.vocab_size)
                request = _decode(llm, prompt, METHODS[name], new_tokens, drafter, budgets[name, rate])
                assert request.token_ids == truths.setdefault(name, request.token_ids)
                seconds, tokens = request.ended - request.first_token, len(request.token_ids) - 1
                lengths[name, rate] = tokens / (request.target_passes - 1)
                times[name, rate] += [1e3 * seconds / tokens] if number else []
                bar.update()
    rows = []
    for (name, rate), values in times.items():
        row: dict[str, Any] = {"method": name, "hit rate": rate, "ms per token": round(statistics.median(values), 2)}
        for title, other in (("x base greedy", times["base greedy", None]), ("x undrafted", times[name, None])):
            row[title] = round(statistics.median(a / b for a, b in zip(values, other, strict=True)), 3)
        rows.append(row | {"tokens per pass": round(lengths[name, rate], 2)})
    return rows


def _decode(
    llm: LLM, prompt: list[int], case: Case, new_tokens: int, drafter: Replay | None, budget: Budget
) -> RequestState:
    """One request with a drafter of our own, decoded to its end."""
    request = Request(prompt, max_new_tokens=new_tokens, eos_token_id=[], **case.settings)
    state, scheduler = llm.builder.build(0, request, llm.trigrams), Scheduler(1)
    if drafter:
        state.drafter, state.draft_budget = drafter, budget
    scheduler.add(state)
    while scheduler.unfinished:
        scheduler.step()
    return state
