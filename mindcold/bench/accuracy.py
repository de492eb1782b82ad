"""What a weight dtype costs in exactness, against float32, on the shipped model's held-out problems."""

from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.llm import BASE, load
from mindcold.model_zoo.corpus import problems
from mindcold.ops.lora_linear import DTYPES

CASES: dict[str, dict[str, Any]] = {
    "base greedy": {"method": "greedy", "adapter": BASE},
    "LoRA greedy": {"method": "greedy"},
    "CoLD": {"method": "cold"},
}


def measure(count: int, backend: str) -> list[dict[str, Any]]:
    """Per dtype: largest logit error over the largest logit, and the shares of equal outputs and of right answers."""
    items = list(problems.held_out(0, count))
    prompts = [item.prompt for item in items]
    rows: list[dict[str, Any]] = []
    exact: dict[str, Any] = {}
    for dtype in tqdm(DTYPES, desc="accuracy", unit="dtype", disable=None):
        llm = load("tiny-base", "tiny-steps", dtype=dtype, backend=backend)
        assert llm.tokenizer is not None
        logits = [llm.logits(llm.tokenizer.encode(prompt)) for prompt in prompts[:20]]
        outs = {name: llm.generate(prompts, max_new_tokens=80, **case) for name, case in CASES.items()}
        exact = exact or {"logits": logits, "outs": outs}
        error = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(logits, exact["logits"], strict=True))
        for name, found in outs.items():
            same = [a.token_ids == b.token_ids for a, b in zip(found, exact["outs"][name], strict=True)]
            right = [problems.answer_of(out.text) == item.answer for out, item in zip(found, items, strict=True)]
            rows.append(
                {
                    "dtype": dtype,
                    "method": name,
                    "logit error": f"{error:.2g}",
                    "same tokens": f"{np.mean(same):.1%}",
                    "right": f"{np.mean(right):.1%}",
                }
            )
    return rows
