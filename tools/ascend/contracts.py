"""The operators' own references and kernels, without MindSpore: packages are entered past their __init__."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def module(name: str) -> ModuleType:
    """A module below mindcold.ops by its dotted name, such as "tree_verify.reference"."""
    places = {"mindcold": ROOT / "mindcold", "mindcold.ops": ROOT / "ops"}
    operator = name.partition(".")[0]
    if "." in name:
        places[f"mindcold.ops.{operator}"] = ROOT / "ops" / operator
    for package, folder in places.items():
        if package not in sys.modules:
            entered: Any = ModuleType(package)
            entered.__path__ = [str(folder)]
            sys.modules[package] = entered
    if "mindcold.ops.rms_norm" not in sys.modules:  # it needs MindSpore; a contract only calls it where a norm is given
        norm: Any = ModuleType("mindcold.ops.rms_norm")
        norm.rms_norm = None
        sys.modules[norm.__name__] = norm
    return importlib.import_module(f"mindcold.ops.{name}")


def kernels(operator: str) -> ModuleType:
    """The Triton kernels of an operator."""
    return module(f"{operator}.triton")
