"""Time per token of base greedy, LoRA greedy and CoLD in the same engine, interleaved in one run."""

import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.llm import BASE, LLM

CASES: dict[str, dict[str, Any]] = {
    "base greedy": {"method": "greedy", "adapter": BASE},
    "LoRA greedy": {"method": "greedy"},
    "CoLD": {"method": "cold"},
}


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds per token of one method: the rounds of a run, after the first token of each."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


def time_methods(llm: LLM, prompt_tokens: int, new_tokens: int, rounds: int, batch: int) -> list[Timing]:
    """Decode random token ids with every method, `rounds` times in turn; one unmeasured round compiles the graphs.

    Greedy and CoLD go through the same compiled step; a batch's time is divided by its size. End-of-text is off.
    """
    rng = np.random.default_rng(0)
    prompts = rng.integers(3, llm.config.vocab_size, (batch, prompt_tokens)).tolist()
    cases = CASES if llm.adapters else {"base greedy": CASES["base greedy"]}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for i in tqdm(range(rounds + 1), desc="bench", unit="round", disable=None):
        for name, case in cases.items():
            outputs = llm.generate(prompts, max_new_tokens=new_tokens, eos_token_id=[], **case)
            if i:
                times[name].append(statistics.median(1e3 / out.stats["tokens_per_second"] for out in outputs) / batch)
    return [Timing(name, tuple(values)) for name, values in times.items()]


def report(timings: list[Timing]) -> list[dict[str, Any]]:
    """Rows for a table or JSON: median, fastest and slowest round, tokens per second, ratio to LoRA greedy."""
    by_name = {timing.name: timing for timing in timings}
    reference = by_name.get("LoRA greedy", timings[0])
    rows = []
    for timing in timings:
        ratios = [mine / other for mine, other in zip(timing.rounds, reference.rounds, strict=True)]
        rows.append(
            {
                "method": timing.name,
                "ms_per_token": round(timing.median, 3),
                "ms_min": round(min(timing.rounds), 3),
                "ms_max": round(max(timing.rounds), 3),
                "tokens_per_second": round(1e3 / timing.median, 1),
                f"x {reference.name}": round(statistics.median(ratios), 3),
            }
        )
    return rows
