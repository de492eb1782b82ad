"""What all kernels in the AKG hybrid language share."""

import importlib.util
from pathlib import Path

import mindspore as ms

from mindcold.ops import build

PINNED = {"vector_length": 32}
"""Attributes to compile with: eight float32 or int32; otherwise AKG gets reductions over the last axis wrong on CPU."""


def unavailable_reason() -> str | None:
    """None where AKG can compile kernels, else the reason why not."""
    target = str(ms.get_context("device_target"))
    compiler = f"lib/plugin/{target.lower()}/libakg.so"
    if not (Path(ms.__file__).parent / compiler).is_file():
        return f"this installation of MindSpore has no AKG compiler for {target} ({compiler} is missing)"
    # the modules AKG imports when it compiles; mindspore does not ask for them
    missing = [name for name in ("decorator", "attr", "sympy", "cloudpickle") if importlib.util.find_spec(name) is None]
    if missing:
        return f"AKG needs the Python packages {', '.join(missing)}"
    return build.unavailable_reason()  # AKG links its kernels with g++
