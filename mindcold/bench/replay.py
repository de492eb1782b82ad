"""What drafts would gain on a model that has learned nothing: its own output replayed with a set share of hits."""

import statistics
from collections.abc import Sequence
from random import Random
from typing import Any

from tqdm import tqdm

from mindcold import decoding
from mindcold.drafting import Budget, Draft
from mindcold.llm import BASE, LLM

METHODS: dict[str, dict[str, Any]] = {"base greedy": {"method": "greedy", "adapter": BASE}, "CoLD": {"method": "cold"}}


class Replay:
    """A drafter that knows the continuation: a chain whose every token is right with a set probability."""

    def __init__(self, prompt: int, truth: Sequence[int], rate: float, vocab_size: int):
        self._prompt, self._truth, self._rate, self._size = prompt, truth, rate, vocab_size
        self._random = Random(0)

    def propose(self, ids: Sequence[int], budget: int, least: float = 0.0) -> Draft:
        """The next tokens of the truth, some of them spoilt."""
        ahead = self._truth[len(ids) - self._prompt :][:budget]
        tokens = [t if self._random.random() < self._rate else (t + 1) % self._size for t in ahead]
        return Draft(tokens, list(range(-1, len(tokens) - 1)), [self._rate ** (i + 1) for i in range(len(tokens))])

    def observe(self, ids: Sequence[int], new: int) -> None:
        """Nothing to learn."""


def measure(llm: LLM, rates: Sequence[float], prompt: list[int], new_tokens: int, rounds: int) -> list[dict[str, Any]]:
    """Milliseconds per token and tokens per pass of each method without drafts and with each rate, in turn."""
    names = [(name, rate) for name in METHODS if llm.adapters or name == "base greedy" for rate in (None, *rates)]
    times: dict[tuple[str, float | None], list[float]] = {case: [] for case in names}
    lengths: dict[tuple[str, float | None], float] = {}
    truths: dict[str, list[int]] = {}
    budgets = {case: Budget() for case in names}
    with tqdm(total=(rounds + 1) * len(names), desc="replay", unit="run", disable=None) as bar:
        for number in range(rounds + 1):
            for name, rate in names:
                request = _request(llm, prompt, name, new_tokens)
                if rate is not None:
                    request.drafter = Replay(len(prompt), truths[name], rate, llm.config.vocab_size)
                    request.draft_budget = budgets[name, rate]
                for _ in decoding.decode(llm.engine, [request], 1):
                    pass
                truths.setdefault(name, request.token_ids)
                assert request.token_ids == truths[name]
                seconds, tokens = request.ended - request.first_token, len(request.token_ids) - 1
                if number:
                    times[name, rate].append(1e3 * seconds / tokens)
                    lengths[name, rate] = tokens / (request.target_passes - 1)
                bar.update()
    base = times["base greedy", None]
    return [
        {
            "method": name,
            "hit rate": rate,
            "ms per token": round(statistics.median(values), 2),
            "x base greedy": round(statistics.median(a / b for a, b in zip(values, base, strict=True)), 3),
            "x undrafted": round(statistics.median(a / b for a, b in zip(values, times[name, None], strict=True)), 3),
            "tokens per pass": round(lengths[name, rate], 2),
        }
        for (name, rate), values in times.items()
    ]


def _request(llm: LLM, prompt: list[int], name: str, new_tokens: int) -> decoding.Request:
    setting = dict(METHODS[name])
    method, adapter = setting.pop("method"), setting.pop("adapter", None)
    keywords = {"max_new_tokens": new_tokens, "eos_token_id": []}
    return llm.requests([prompt], method, adapter, keywords)[0]
