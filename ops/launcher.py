"""Launching Triton kernels from MindSpore on Ascend. Written, never run on an NPU.

Kernels are called, not compiled into a graph: between the graph of the network and the next step. The launcher is part
of triton-ascend as its repository has it (strategies "mindspore" in triton/backends/ascend/backend_register.py); the
wheel 3.2.0 has none. Earlier sources take the framework from TRITON_BACKEND, later ones take torch_npu unless it is set
where they keep it.
"""

import importlib
import importlib.util
import os
from functools import cache
from typing import Any

FRAMEWORK = "mindspore"
README = "see tools/ascend/README.md"


def missing() -> str | None:
    """None where kernels can be launched, else what is missing; asked on Ascend alone, since it imports triton."""
    if importlib.util.find_spec("triton") is None:
        return f"triton-ascend is not installed; {README}"
    try:
        register = importlib.import_module("triton.backends.ascend.backend_register").backend_strategy_registry
        register.execute_func(FRAMEWORK, "version_hash")
    except (ImportError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        return f"this triton has no launcher for MindSpore ({reason}); build triton-ascend from its sources, {README}"
    return None


@cache
def kernel(operator: str, name: str) -> Any:
    """A kernel of mindcold/ops/<operator>/triton.py, launched as kernel[grid](*arguments, **constants)."""
    return getattr(constants(operator), name)


def constants(operator: str) -> Any:
    """The module of an operator's kernels, which has the sizes of their tiles."""
    choose_framework()
    return importlib.import_module(f"mindcold.ops.{operator}.triton")


@cache
def choose_framework() -> None:
    """Let triton-ascend allocate and launch through MindSpore."""
    os.environ.setdefault("TRITON_BACKEND", FRAMEWORK)
    utils: Any = importlib.import_module("triton.backends.ascend.utils")
    utils.backend_policy = FRAMEWORK
