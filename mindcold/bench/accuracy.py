"""What a weight dtype costs in exactness, against float32."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mindcold.bench.cases import METHODS
from mindcold.bench.items import Item
from mindcold.bench.report import share
from mindcold.llm import load
from mindcold.ops.lora_linear import DTYPES


def measure(
    model: Path, adapter: str, items: Sequence[Item], backend: str, new_tokens: int = 80
) -> list[dict[str, Any]]:
    """Per dtype: logits of 20 prompts (largest error over the largest logit, share of positions whose best token is
    the same), outputs (how much of them is equal before the first difference, how many are equal), right answers."""
    prompts = [item.prompt for item in items]
    rows: list[dict[str, Any]] = []
    exact: dict[str, Any] = {}
    for dtype in tqdm(DTYPES, desc="accuracy", unit="dtype", disable=None):
        llm = load(model, adapter, dtype=dtype, backend=backend)
        assert llm.tokenizer is not None
        logits = [llm.logits(llm.tokenizer.encode(prompt)) for prompt in prompts[:20]]
        options: dict[str, Any] = {"max_new_tokens": new_tokens}
        if not any(item.is_right for item in items):  # no answer that ends: compare all tokens
            options["eos_token_id"] = []
        outs = {name: llm.generate(prompts, **options, **case.settings) for name, case in METHODS.items()}
        exact = exact or {"logits": logits, "outs": outs}
        pairs = list(zip(logits, exact["logits"], strict=True))
        error = max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)
        best = np.mean(np.concatenate([a.argmax(-1) == b.argmax(-1) for a, b in pairs]))
        for name, found in outs.items():
            row: dict[str, Any] = {"dtype": dtype, "method": name, "logit error": f"{error:.2g}"}
            row["same best token"] = f"{best:.1%}"
            same = [equal_start(a.token_ids, b.token_ids) for a, b in zip(found, exact["outs"][name], strict=True)]
            row["equal start"] = f"{np.mean(same):.1%}"
            row["same tokens"] = f"{np.mean([part == 1 for part in same]):.1%}"
            right = [item.is_right(out.text) for out, item in zip(found, items, strict=True) if item.is_right]
            row["right"] = share(right) if right else None
            rows.append(row)
    return rows


def equal_start(a: Sequence[int], b: Sequence[int]) -> float:
    """The part of the longer of two outputs that is equal before the first difference, 0 to 1."""
    equal = next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    longest = max(len(a), len(b))
    return equal / longest if longest else 1.0
