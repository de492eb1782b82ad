"""What all kernels in the AKG hybrid language share."""

import importlib.util

from mindcold.ops import build, registry

PINNED = {"vector_length": 32}
"""Attributes to compile with: eight float32 or int32; otherwise AKG gets reductions over the last axis wrong on CPU."""


def why_not() -> str | None:
    """None where AKG can compile kernels, else the reason why not."""
    # the modules AKG imports when it compiles; mindspore does not ask for them
    missing = [name for name in ("decorator", "attr", "sympy", "cloudpickle") if importlib.util.find_spec(name) is None]
    if missing:
        return f"AKG needs the Python packages {', '.join(missing)}"
    return registry.on_cpu() or build.why_not()  # AKG links its kernels with g++
