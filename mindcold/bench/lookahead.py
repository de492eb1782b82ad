"""What looking ahead costs and brings: time, satisfaction and fluency."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mindcold.bench.generations import Rounds, milliseconds
from mindcold.bench.items import Item
from mindcold.bench.report import share
from mindcold.decoding.sampling import log_softmax
from mindcold.llm import LLM
from mindcold.output import Output
from mindcold.request import BASE

NEW_TOKENS = 32


def rows(llm: LLM, found: dict[str, Rounds], together: dict[str, float], items: Sequence[Item]) -> list[dict[str, Any]]:
    """A table: time and passes per text, what was reached (95 % bootstrap interval), and how fluent it is."""
    rows = []
    for name, rounds in found.items():
        outs, ms = rounds[0], milliseconds(rounds)
        row: dict[str, Any] = {"method": name, "ms per text": round(ms, 1)}
        row["x greedy"] = round(ms / milliseconds(found["LoRA greedy"]), 2)
        row["CDLH / this"] = round(milliseconds(found["CDLH"]) / ms, 2)
        row["ms per text, together"] = round(together[name], 1)
        rewards = [out.stats.reward or 0.0 for out in outs]
        row["mean reward"] = round(float(np.mean(rewards)), 3)
        row["all satisfied"] = share([reward >= 0.999 for reward in rewards])
        row["tokens"] = round(float(np.mean([len(out.token_ids) for out in outs])), 1)
        for title, passes in (("target passes", "target_passes"), ("draft passes", "draft_passes")):
            row[title] = round(float(np.mean([getattr(out.stats, passes) or 0 for out in outs])), 1)
        row["base perplexity"] = round(perplexity(llm, items, outs), 2)
        rows.append(row)
    return rows


def perplexity(llm: LLM, items: Sequence[Item], outs: Sequence[Output]) -> float:
    """Perplexity of the outputs under the base without its adapter, over all their tokens."""
    logprobs: list[float] = []
    assert llm.tokenizer is not None
    for item, out in zip(items, outs, strict=True):
        prompt = llm.tokenizer.encode(item.prompt)
        logits = llm.logits(prompt + out.token_ids[:-1], adapter=BASE)[len(prompt) - 1 :]
        logprobs += log_softmax(logits)[np.arange(len(out.token_ids)), out.token_ids].tolist()
    return math.exp(-float(np.mean(logprobs)))
