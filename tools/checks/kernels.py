"""The Triton kernels as objects: triton-ascend, AscendNPU-IR and CANN's hivmc, for the chip of this host."""

import importlib
import importlib.util
import inspect
import shutil
import subprocess
import time
from typing import Any

from checks.host import README, chips_of, find_cann, find_program, target_of
from checks.step import Missing, Setting

SCORE = "expert:*fp32 base:*fp32 log_alpha:*fp32 beta:*fp32 allowed:*i8 scores:*fp32 token:*i32 logprob:*fp32"
BEST = "scores:*fp32 maxima:*fp32 logprob:*fp32 tokens:*i32 logprobs:*fp32 V:i32 K:i32"
LOOKUP = "first:*i32 second:*i32 keys:*i32 tokens:*i32 weights:*fp32 place:*i32 found_tokens:*i32 found_weights:*fp32"
HALF = "x:*{0} a:*{0} adapter:*i32 middle:*fp32 H:i32 RANK:i32"
EXPAND = "middle:*fp32 b:*{0} adapter:*i32 y:*{0} FIRST:i32 OUT:i32 Y:i32 RANK:i32"

KERNELS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "contrastive_score": ("contrastive_score", "contrastive_score", f"{SCORE} maxima:*fp32 V:i32", {"MASKED": False}),
    "contrastive_score, masks": (
        *("contrastive_score", "contrastive_score", f"{SCORE} maxima:*fp32 V:i32"),
        {"MASKED": True},
    ),
    "best_tokens": ("contrastive_score", "best_tokens", BEST, {"TILES": 128}),
    "tree_verify": ("tree_verify", "tree_verify", "chosen:*i32 tokens:*i32 parents:*i32 accepted:*i32 P:i32", {}),
    "trigram_lookup": ("trigram_draft", "trigram_lookup", f"{LOOKUP} BUCKETS:i32", {"WAYS": 4, "SUCCESSORS": 12}),
    "kv_commit, fp16": (
        *("tree_attention", "kv_commit"),
        *("cache:*fp16 source:*i32 target:*i32 N:i32 W:i32 MOVES:i32", {}),
    ),
    **{f"lora_shrink, {kind}": ("lora_linear", "lora_shrink", HALF.format(kind), {}) for kind in ("fp16", "bf16")},
    **{f"lora_expand, {kind}": ("lora_linear", "lora_expand", EXPAND.format(kind), {}) for kind in ("fp16", "bf16")},
}
"""Operator, kernel, arguments with their types, and constants; sizes of tiles are those of the operator's module."""


def objects(setting: Setting) -> dict[str, Any]:
    """Seconds and bytes of each kernel's object."""
    if importlib.util.find_spec("triton") is None:
        raise Missing("triton-ascend is not installed", f"build it from its sources, see {README}, step 4")
    if find_program("hivmc", find_cann()) is None:
        raise Missing("CANN's hivmc was not found", f"install CANN 8.5 or later, see {README}, step 2")
    program = shutil.which("npu-smi")
    named = subprocess.run([program, "info"], capture_output=True, text=True, timeout=60).stdout if program else ""
    chips = chips_of(named)
    if not chips:
        raise Missing("the chip is not known", f"install the NPU driver, see {README}, step 1")
    return {"target": target_of(chips[0])} | {name: built(name, target_of(chips[0])) for name in KERNELS}


def built(name: str, target: str) -> dict[str, Any]:
    """One kernel through all stages."""
    started = time.perf_counter()
    try:
        sizes = {kind: len(item) for kind, item in compiled(name, target).asm.items() if isinstance(item, (bytes, str))}
    except Exception as error:  # every kernel is tried
        return {"state": "failed", "message": f"{type(error).__name__}: {reason_of(str(error))}"}
    return {"state": "ok", "seconds": round(time.perf_counter() - started, 2), "bytes": sizes}


def reason_of(text: str) -> str:
    """What a compiler's message says, without its frame."""
    lines = [line.strip() for line in text.splitlines()]
    return " ".join(line for line in lines if line and not line.startswith(("///", "[INFO]")))[:300]


def compiled(name: str, target: str) -> Any:
    """What triton.compile gives for a kernel and a chip."""
    operator, kernel, arguments, constants = KERNELS[name]
    module = importlib.import_module(f"mindcold.ops.{operator}.triton")
    function = getattr(module, kernel)
    signature: dict[str, str] = dict(item.split(":") for item in arguments.split())
    names = [item for item in inspect.signature(function.fn).parameters if item not in signature]
    values = {item: constants[item] if item in constants else getattr(module, item) for item in names}
    triton = importlib.import_module("triton")
    source = importlib.import_module("triton.compiler").ASTSource
    chip = importlib.import_module("triton.backends.compiler").GPUTarget("npu", target, 0)
    if "constexprs" in inspect.signature(source.__init__).parameters:  # from Triton 3.3 on
        return triton.compile(source(function, signature | dict.fromkeys(values, "constexpr"), values), target=chip)
    return triton.compile(source(function, signature, values), target=chip)
