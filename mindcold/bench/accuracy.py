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
    """Per dtype: largest logit error over the largest logit (20 prompts), shares of equal outputs and right answers."""
    prompts = [item.prompt for item in items]
    rows: list[dict[str, Any]] = []
    exact: dict[str, Any] = {}
    for dtype in tqdm(DTYPES, desc="accuracy", unit="dtype", disable=None):
        llm = load(model, adapter, dtype=dtype, backend=backend)
        assert llm.tokenizer is not None
        logits = [llm.logits(llm.tokenizer.encode(prompt)) for prompt in prompts[:20]]
        options: dict[str, Any] = {"max_new_tokens": new_tokens}
        outs = {name: llm.generate(prompts, **options, **case.settings) for name, case in METHODS.items()}
        exact = exact or {"logits": logits, "outs": outs}
        error = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(logits, exact["logits"], strict=True))
        for name, found in outs.items():
            row: dict[str, Any] = {"dtype": dtype, "method": name, "logit error": f"{error:.2g}"}
            same = [a.token_ids == b.token_ids for a, b in zip(found, exact["outs"][name], strict=True)]
            row["same tokens"] = f"{np.mean(same):.1%}"
            right = [item.is_right(out.text) for out, item in zip(found, items, strict=True) if item.is_right]
            row["right"] = share(right) if right else None
            rows.append(row)
    return rows
