"""mindcold beside transformers + peft and llama.cpp on the same weights, in turn in one run."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np

from mindcold.bench import gguf_copy, tasks
from mindcold.bench.accuracy import equal_start
from mindcold.bench.baseline import Baseline
from mindcold.bench.cases import METHODS
from mindcold.bench.report import Times, bound_rows, median_ratio
from mindcold.errors import RequestError
from mindcold.llm import LLM, load
from mindcold.ops import contrastive_score

HERE = Path(__file__).parent
REQUESTS = {"base greedy": "greedy", "LoRA greedy": "lora", "CoLD": "cold"}
"""Method to what the scripts call it."""

Tokens = dict[str, list[int]]  # of each task that gives some


@dataclass(frozen=True, slots=True)
class Setting:
    """What is compared."""

    model: Path
    adapter: Path | None
    dtypes: list[str]
    prompt_tokens: int
    new_tokens: int
    prefill_tokens: int | None
    rounds: int
    rows: tuple[int, ...]
    backend: str = "auto"
    peer: str | None = None
    """Interpreter with torch, transformers and peft."""
    peer_dtypes: list[str] = field(default_factory=lambda: ["float32", "bfloat16"])
    peer_copies: str = "2"
    llama: str | None = None
    """Interpreter with llama-cpp-python."""

    @property
    def context(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.prompt_tokens + max(*self.rows, self.new_tokens), self.prefill_tokens or 0) + 1


def measure(setting: Setting, folder: Path) -> tuple[Times, Tokens]:
    """Milliseconds of every task in every round, and the tokens of every generation; `folder` is for what is written.

    RequestError in one line for an interpreter that is not there, that lacks a package, or that ended.
    """
    if setting.peer is not None and setting.adapter is None:
        raise RequestError("--adapter: give one to compare with")
    programs = list[Baseline]()
    todo, tokens = dict[str, tasks.Task](), Tokens()
    try:
        first = load(setting.model, setting.adapter, dtype=setting.dtypes[0], backend=setting.backend)
        prompt = tasks.random_ids(first, (setting.prompt_tokens + max(setting.rows),)).tolist()
        long = tasks.random_ids(first, (setting.prefill_tokens or 1,)).tolist()

        def add(kind: str, program: Baseline, methods: list[str]) -> None:
            def task(name: str, **request: Any) -> tasks.Task:
                def ask() -> float:
                    answer = program.ask(**request)
                    if "tokens" in answer:
                        tokens[name] = answer["tokens"]
                    return float(answer["ms"])

                return ask

            for method in methods:
                name, ids = f"{kind} {method}", prompt[: setting.prompt_tokens]
                todo[name] = task(name, task=REQUESTS[method], ids=ids, new=setting.new_tokens)
            for rows in setting.rows:
                name, ids = f"{kind} step {rows} rows", prompt[: setting.prompt_tokens + rows]
                todo[name] = task(name, task="step", ids=ids, new=rows)
            if setting.prefill_tokens:
                name = f"{kind} prefill {setting.prefill_tokens}"
                todo[name] = task(name, task="prefill", ids=long)

        if setting.peer is not None:
            for dtype in setting.peer_dtypes:
                arguments = (setting.model, setting.adapter, dtype, setting.peer_copies)
                programs.append(Baseline(setting.peer, HERE / "transformers_peer.py", *arguments))
                add(f"peer {dtype}", programs[-1], list(REQUESTS))
        if setting.llama is not None:
            copy = folder / "model.gguf"
            gguf_copy.write(setting.model, copy)
            programs.append(Baseline(setting.llama, HERE / "llama_cpp_peer.py", copy, setting.context))
            add("llama.cpp", programs[-1], ["base greedy"])
        for i, dtype in enumerate(setting.dtypes):
            llm = load(setting.model, setting.adapter, dtype=dtype, backend=setting.backend) if i else first
            todo |= {f"{llm.dtype} {name}": task for name, task in ours(llm, setting).items()}
            for name, case in METHODS.items():
                if llm.adapters or name == "base greedy":
                    asked: dict[str, Any] = {"max_new_tokens": setting.new_tokens, "eos_token_id": []} | case.settings
                    tokens[f"{llm.dtype} {name}"] = llm.generate(prompt[: setting.prompt_tokens], **asked).token_ids
        return tasks.run_in_turn(todo, setting.rounds), tokens
    finally:
        for program in programs:
            program.close()


def ours(llm: LLM, setting: Setting) -> dict[str, tasks.Task]:
    """What is measured of mindcold, one reading of its weights, and their products with one row at the best."""
    found = tasks.of_methods(llm, setting.prompt_tokens, setting.new_tokens)
    found |= tasks.of_steps(llm, setting.rows, setting.prompt_tokens)
    found |= {"read": tasks.of_memory(llm.engine.weight_bytes), "multiply": tasks.of_arithmetic(llm)}
    found["score"] = score(llm)
    if setting.prefill_tokens:
        found[f"prefill {setting.prefill_tokens}"] = tasks.of_prefill(llm, setting.prefill_tokens)
    return found


def score(llm: LLM) -> Callable[[], float]:
    """Scoring and choice of one CoLD token alone: two streams over the vocabulary."""
    body = contrastive_score.body()
    logits = ms.Tensor(np.random.default_rng(0).standard_normal((2, llm.config.vocab_size)).astype(np.float32))
    setting = ms.Tensor(np.array([[0.1, 0.5]], np.float32))

    def chosen(logits, setting):
        return body.stacked(logits, setting)[1]

    graph = ms.jit(chosen)
    return lambda: tasks.median_of(lambda: graph(logits, setting).asnumpy(), 7)


def is_ours(task: str) -> bool:
    """Whether a task is one of mindcold's."""
    return not task.startswith(("peer ", "llama.cpp "))


def ratios(times: Times) -> list[dict[str, Any]]:
    """The faster dtype of a peer by each dtype of ours, and what steps cost beside reading the weights.

    Medians over the rounds, with a 95 % interval by the bootstrap over them.
    """
    pairs = []
    for task in filter(is_ours, times):
        dtype, _, name = task.partition(" ")
        peers = [other for other in times if other.startswith("peer ") and other.endswith(f" {name}")]
        peer = min(peers, key=lambda other: statistics.median(times[other]), default="")
        for over in (peer, f"llama.cpp {name}"):
            pairs.append((f"{over} / {task}", over, task))
        if name.startswith("step") and name != "step 1 rows":
            pairs.append((f"{task} / 1 row", task, f"{dtype} step 1 rows"))
        if name in ("step 1 rows", *REQUESTS):
            pairs.append((f"{task} / reading the weights", task, f"{dtype} read"))
        if name in ("LoRA greedy", "CoLD"):
            pairs.append((f"{task} / base greedy", task, f"{dtype} base greedy"))
        if name == "CoLD":
            pairs.append((f"{dtype} scoring / {name}", f"{dtype} score", task))
    found = [(title, over, under) for title, over, under in pairs if over in times and under in times]
    rows = [{"figure": title} | median_ratio(times[over], times[under]) for title, over, under in found]
    return rows + bound_rows(times)


def agreement(tokens: Tokens) -> list[dict[str, Any]]:
    """How many tokens of each generation of another program are ours, up to the first other one.

    Beside ours in the same dtype, where that is measured, else beside all.
    """
    rows = []
    for task, theirs in tokens.items():
        if is_ours(task):
            continue
        method = next(name for name in REQUESTS if task.endswith(f" {name}"))
        kind = task.removeprefix("peer ").removesuffix(f" {method}")
        own = [name for name in tokens if is_ours(name) and name.endswith(f" {method}")]
        for other in [name for name in own if name == f"{kind} {method}"] or own:
            equal = round(equal_start(tokens[other], theirs) * len(theirs))
            rows.append({"generation": task, "beside": other, "tokens": len(theirs), "equal": equal})
    return rows
