"""Kinds of cases, one a file: `KIND` is its name, `strategy()` makes cases, `run(case)` does what a user would do.

A case is plain data with a short `repr`. `run` returns where the input is fine, and raises a MindcoldError where it is
refused; anything else is a fault. It works in an empty working folder, and leaves it empty.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from hypothesis.strategies import SearchStrategy


class Kind(Protocol):
    """A file of this folder."""

    KIND: str

    @staticmethod
    def strategy() -> SearchStrategy[Any]:
        """Cases."""
        ...

    @staticmethod
    def run(case: Any) -> None:
        """Do what the case says."""
        ...


def find_kinds() -> dict[str, Any]:
    """Every Kind of this folder by its name."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    found = [import_module(f"kinds.{path.stem}") for path in files]
    return {module.KIND: module for module in found}
