"""What is measured: named tasks, each giving milliseconds, that are run in turn so that all meet the same machine."""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.bench.cases import METHODS, Case
from mindcold.engine import StepPlan
from mindcold.llm import LLM
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.ops.arithmetic import PeakArithmetic
from mindcold.ops.memory import ReadBandwidth
from mindcold.request import BASE

Task = Callable[[], float]


def run_in_turn(tasks: dict[str, Task], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every task in every round; one more round goes first, unmeasured, and compiles the graphs."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    with tqdm(total=(rounds + 1) * len(tasks), desc="bench", unit="task", disable=None) as bar:
        for i in range(rounds + 1):
            for name, task in tasks.items():
                value = task()
                if i:
                    times[name].append(value)
                bar.update()
    return times


def of_methods(llm: LLM, prompt_tokens: int, new_tokens: int, batch: int = 1) -> dict[str, Task]:
    """Time per token of each method after the first token, end-of-text off; a batch's time is divided by its size."""
    prompts = random_ids(llm, (batch, prompt_tokens)).tolist()

    def task(case: Case) -> Task:
        def measure() -> float:
            outputs = llm.generate(prompts, max_new_tokens=new_tokens, eos_token_id=[], **case.settings)
            return statistics.median(1e3 / (out.stats.tokens_per_second or math.inf) for out in outputs) / batch

        return measure

    return {name: task(case) for name, case in METHODS.items() if llm.adapters or name == "base greedy"}


def of_steps(llm: LLM, rows: tuple[int, ...], prompt_tokens: int, repeats: int = 7) -> dict[str, Task]:
    """A step with so many rows after a prompt, every row scored, as when a draft of that length is verified."""
    ids = random_ids(llm, (prompt_tokens + max(rows),)).tolist()
    engine = llm.engine

    def task(count: int) -> Task:
        def measure() -> float:
            engine.reserve(engine.used_slots + len(ids))
            sequence = engine.open([BASE_ADAPTER], len(ids))
            assert sequence is not None
            try:
                for first in range(0, prompt_tokens, 64):
                    prompt = StepPlan()
                    prompt.extend(sequence, ids[first : min(first + 64, prompt_tokens)])
                    engine.run(prompt)
                    sequence.commit(len(prompt.rows))
                plan = StepPlan()
                plan.extend(sequence, ids[prompt_tokens : prompt_tokens + count])
                for row in range(count):
                    plan.score([row])
                return median_of(lambda: engine.run(plan), repeats)
            finally:
                sequence.close()

        return measure

    return {f"step {count} rows": task(count) for count in rows}


def of_prefill(llm: LLM, tokens: int) -> Task:
    """A prompt of so many tokens up to its first new token, base alone."""
    prompt = random_ids(llm, (tokens,)).tolist()
    return lambda: median_of(lambda: llm.generate(prompt, adapter=BASE, max_new_tokens=1, eos_token_id=[]), 1)


def of_memory(size: int) -> Task:
    """One pass over memory of this size, bytes: what a step over such weights takes at least."""
    memory = ReadBandwidth(size)
    return lambda: 1e3 * size / memory.measure()


def of_arithmetic(llm: LLM) -> Task:
    """The products of one row with all weights, at the processor's best: what each row of a step takes at least."""
    weights = llm.engine.weight_bytes / {"float32": 4, "bfloat16": 2, "int8": 1}[llm.dtype]
    peak = PeakArithmetic(llm.dtype)
    return lambda: 1e3 * 2 * weights / peak.measure()


def random_ids(llm: LLM, shape: tuple[int, ...]) -> np.ndarray:
    """Token ids that are no special ones in most vocabularies."""
    return np.random.default_rng(0).integers(3, llm.config.vocab_size, shape)


def median_of(call: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of some calls in a row."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)
