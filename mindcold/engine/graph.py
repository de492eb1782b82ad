"""A compiled graph that gives its memory back."""

import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

import mindspore as ms
from mindspore.graph import api

from mindcold.engine.runtime import LOCK

_NUMBERS = count()


class Graph:
    """A Cell compiled in graph mode, once per shape of its arguments, whatever mode the surrounding program runs in.

    A direct call of a Cell would walk its whole tree in Python at every step.
    """

    def __init__(self, cell: ms.nn.Cell):
        cell.set_train(False)

        def step(*arguments):
            return cell(*arguments)

        step.__name__ = f"step_{next(_NUMBERS)}"  # MindSpore warns of functions of one name that are compiled again
        self._call: Callable[..., Any] | None = ms.jit(step)
        self._forget = weakref.finalize(self, forget, f".{step.__name__}.")
        self._forget.atexit = False

    def __call__(self, *arguments: ms.Tensor) -> Any:
        assert self._call is not None, "released"
        return self._call(*arguments)

    def release(self) -> None:
        """Give the memory back now; the graph cannot be called any more."""
        self._call = None
        self._forget()


def forget(name: str) -> None:
    """Let MindSpore drop what it compiled for a function: its caches keep every graph, with all constants, for ever."""
    with LOCK:
        phases = {phase for phase in api.ms_compile_cache if name in phase}
        if phases:
            for executor in (api.JitExecutor_, api.GraphExecutor_):
                executor.get_instance().del_net_res(None, phases)
            api.ms_compile_cache.difference_update(phases)
