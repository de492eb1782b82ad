"""What is measured: named tasks, each giving milliseconds, that are run in turn so that all meet the same machine."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mindcold.bench.rival import Rival
from mindcold.engine import StepPlan
from mindcold.engine.engine import row_bucket
from mindcold.llm import BASE, LLM
from mindcold.ops import contrastive_score
from mindcold.ops.memory import ReadBandwidth

Task = Callable[[], float]

METHODS: dict[str, dict[str, Any]] = {
    "base greedy": {"method": "greedy", "adapter": BASE},
    "LoRA greedy": {"method": "greedy"},
    "CoLD": {"method": "cold"},
}
REQUESTS = {"base greedy": "greedy", "LoRA greedy": "lora", "CoLD": "cold"}
"""The same for another program."""


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

    def task(case: dict[str, Any]) -> Task:
        def measure() -> float:
            outputs = llm.generate(prompts, max_new_tokens=new_tokens, eos_token_id=[], **case)
            return statistics.median(1e3 / out.stats["tokens_per_second"] for out in outputs) / batch

        return measure

    names = METHODS if llm.adapters else ("base greedy",)
    return {name: task(METHODS[name]) for name in names}


def of_steps(llm: LLM, rows: tuple[int, ...], prompt_tokens: int, repeats: int = 7) -> dict[str, Task]:
    """A step with so many rows behind a prompt, every row scored, as when a draft of that length is verified."""
    ids = random_ids(llm, (prompt_tokens + max(rows),)).tolist()
    engine = llm.engine

    def task(count: int) -> Task:
        def measure() -> float:
            engine.reserve(engine.used_cells + len(ids))
            slot = engine.open(len(ids), -1)
            assert slot is not None
            try:
                prompt, plan = StepPlan(), StepPlan()
                for first in range(0, prompt_tokens, 64):
                    prompt = StepPlan()
                    prompt.extend(slot, ids[first : min(first + 64, prompt_tokens)])
                    prompt.score(len(prompt.rows) - 1)
                    engine.run(prompt, 64, 16, contrast=False)
                    engine.commit(slot, len(prompt.rows))
                plan.extend(slot, ids[prompt_tokens : prompt_tokens + count])
                for row in range(count):
                    plan.score(row)
                bucket = row_bucket(count)
                return median_of(lambda: engine.run(plan, bucket, bucket, contrast=False), repeats)
            finally:
                engine.close(slot)

        return measure

    return {f"step {count} rows": task(count) for count in rows}


def of_prefill(llm: LLM, tokens: int) -> Task:
    """A prompt of so many tokens up to its first new token, base alone."""
    prompt = random_ids(llm, (tokens,)).tolist()
    return lambda: timed(lambda: llm.generate(prompt, "greedy", adapter=BASE, max_new_tokens=1, eos_token_id=[]))


def of_score(llm: LLM, repeats: int = 7) -> Task:
    """Scoring and choice of one CoLD token alone: two streams over the vocabulary."""
    body = contrastive_score.body()
    logits = ms.Tensor(np.random.default_rng(0).standard_normal((2, llm.config.vocab_size)).astype(np.float32))
    setting = ms.Tensor(np.array([[0.1, 0.5]], np.float32))

    def score(logits, setting):
        return body.stacked(logits, setting)[1]

    graph = ms.jit(score)
    return lambda: median_of(lambda: graph(logits, setting).asnumpy(), repeats)


def of_memory(size: int) -> Task:
    """One pass over memory of this size, bytes: what a step over such weights takes at least."""
    memory = ReadBandwidth(size)
    return lambda: 1e3 * size / memory.measure()


def of_rival(rival: Rival, prefill_tokens: int | None) -> dict[str, Task]:
    """The same of another program."""
    requests = dict(REQUESTS)
    if prefill_tokens:
        requests[f"prefill {prefill_tokens}"] = f"prefill {prefill_tokens}"

    def task(request: str) -> Task:
        return lambda: rival.measure(request)

    return {name: task(request) for name, request in requests.items()}


def random_ids(llm: LLM, shape: tuple[int, ...]) -> np.ndarray:
    """Token ids that are no special ones in most vocabularies."""
    return np.random.default_rng(0).integers(3, llm.config.vocab_size, shape)


def timed(call: Callable[[], Any]) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


def median_of(call: Callable[[], Any], repeats: int) -> float:
    """Median milliseconds of some calls in a row."""
    return statistics.median(timed(call) for _ in range(repeats))
