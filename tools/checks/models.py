"""Models on the device: tokens beside those of a CPU, then CoLD, drafts and CDSL on SmolLM2."""

import contextlib
import importlib
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

from checks.step import Missing, Setting, run_apart

METHODS: dict[str, dict[str, Any]] = {
    "greedy": {"method": "greedy"},
    "CoLD": {"method": "cold"},
    "CoLD, drafts": {"method": "cold", "draft": "trigram"},
}
PROMPTS = ("Tom has 3 apples and buys 4 more. How many", "The sum of 12 and 30 is", "A dog and a")
TOKENS = 24
TOOLS = Path(__file__).parents[1]


def use(device: str) -> None:
    """Let MindSpore compute there."""
    import mindspore as ms

    if ms.get_context("device_target") != device:
        ms.set_device(device)


def parity(setting: Setting) -> dict[str, Any]:
    """For each dtype and method: tokens on the device beside those of float32 on the CPU, by another process."""
    reference = decoded_on("CPU", "float32", "auto")
    found: dict[str, Any] = {}
    todo = [("builtin", "float32")]
    if setting.device == "Ascend":
        todo = [(backend, dtype) for backend in ("ascend", "builtin") for dtype in ("float32", "bfloat16")]
    for backend, dtype in todo:
        tokens = decoded_on(setting.device, dtype, backend)
        for method in METHODS:
            found[f"{backend}, {dtype}, {method}"] = compared(tokens[method], reference[method])
    return found


def compared(tokens: list[list[int]], wanted: list[list[int]]) -> dict[str, Any]:
    """How far texts agree; other dtypes round, so that only a text that is other from its first token on has failed."""
    agree = [agreement(mine, its) for mine, its in zip(tokens, wanted, strict=True)]
    same = sum(mine == its for mine, its in zip(tokens, wanted, strict=True))
    state = "failed" if not any(agree) and any(wanted) else "ok"
    return {"state": state, "equal texts": f"{same} of {len(wanted)}", "equal tokens before the first other": agree}


def agreement(mine: list[int], its: list[int]) -> int:
    """Tokens before the first that differs."""
    pairs = zip(mine, its, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(mine), len(its)))


def decoded_on(device: str, dtype: str, backend: str) -> dict[str, list[list[int]]]:
    """Tokens of tiny-base by each method, in a process of its own: one takes one device."""
    result = run_apart([str(TOOLS / "check_ascend.py"), "--tokens", device, dtype, backend], 600)
    if result.state != "ok":
        raise RuntimeError(f"{device}, {dtype}, {backend}: {result.message}")
    return result.figures


def tokens(device: str, dtype: str, backend: str) -> dict[str, Any]:
    """The same, in this process."""
    use(device)
    from mindcold import load

    llm = load("tiny-base", "tiny-steps", dtype=dtype, backend=backend)
    asked = {name: dict(options) for name, options in METHODS.items()}
    return {
        name: [out.token_ids for out in llm.generate(list(PROMPTS), max_new_tokens=TOKENS, **options)]
        for name, options in asked.items()
    }


def speed(setting: Setting) -> dict[str, Any]:
    """The demo on SmolLM2: quality and time beside greedy decoding, of CoLD, drafts and CDSL."""
    if not setting.model:
        raise Missing("no model is named", "--model smollm2-135m")
    use(setting.device)
    from mindcold.errors import MindcoldError
    from mindcold.model_folder import find_folder

    try:
        folder = find_folder(setting.model)
    except MindcoldError as error:
        raise Missing(str(error), "tools/ascend/README.md, step 5") from None
    demo: Any = importlib.import_module("demo_smollm2")  # beside check_ascend.py
    demo.MODEL = str(folder)
    sys.argv = ["demo_smollm2", "--json", "--sets", str(setting.items)]
    printed, started = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(printed):
        code = demo.main()
    if code:
        raise RuntimeError(f"the demo ended with {code}")
    tables = json.loads(next(line for line in reversed(printed.getvalue().splitlines()) if line.startswith("{")))
    rows = {f"{title}: {row['method']}": row for title, found in tables.items() for row in found}
    return {"device": setting.device, "seconds, compilation included": round(time.perf_counter() - started, 1)} | rows
