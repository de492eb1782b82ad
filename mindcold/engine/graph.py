"""A compiled graph: called directly once it is compiled, and its memory is given back."""

import inspect
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

import mindspore as ms
from mindspore.graph import api

from mindcold.engine.runtime import LOCK

_NUMBERS = count()
_DIRECT = all(hasattr(api, name) for name in ("_pynative_executor", "_run_jit_pipeline", "_convert_python_data"))


class Graph:
    """A Cell compiled in graph mode, once per shape of its arguments, whatever mode the surrounding program runs in.

    A direct call of a Cell would walk its whole tree in Python at every step, and a call of what `mindspore.jit` makes
    inspects the function and spells out its arguments to find what it compiled before: 0.2 ms, a fifth of a small
    model's step. So the compiled graph is remembered by shapes and run as `mindspore.jit` runs it.
    """

    def __init__(self, cell: ms.nn.Cell):
        cell.set_train(False)

        def step(*arguments):
            return cell(*arguments)

        step.__name__ = f"step_{next(_NUMBERS)}"  # MindSpore warns of functions of one name that are compiled again
        self._call: Callable[..., Any] | None = ms.jit(step)
        self._name = f".{step.__name__}."
        self._config = inspect.getclosurevars(self._call).nonlocals.get("jit_config")
        self._phases: dict[tuple[Any, ...], str] = {}
        self._forget = weakref.finalize(self, forget, self._name)
        self._forget.atexit = False

    def __call__(self, *arguments: ms.Tensor) -> Any:
        assert self._call is not None, "released"
        shapes = tuple([(item.shape, item.dtype) for item in arguments])
        phase = self._phases.get(shapes)
        if phase is not None and phase in api.ms_compile_cache:
            return _run(phase, self._config, arguments)
        out = self._call(*arguments)
        new = [item for item in phases_of(self._name) if item not in self._phases.values()]
        if _DIRECT and self._config is not None and len(new) == 1:
            self._phases[shapes] = new[0]
        return out

    def release(self) -> None:
        """Give the memory back now; the graph cannot be called any more."""
        self._call = None
        self._forget()


def forget(name: str) -> None:
    """Let MindSpore drop what it compiled for a function: its caches keep every graph, with all constants, for ever."""
    with LOCK:
        phases = phases_of(name)
        if phases:
            for executor in (api.JitExecutor_, api.GraphExecutor_):
                executor.get_instance().del_net_res(None, phases)
            api.ms_compile_cache.difference_update(phases)


def phases_of(name: str) -> set[str]:
    """What MindSpore calls the graphs it compiled for a function."""
    return {phase for phase in api.ms_compile_cache if name in phase}


def _run(phase: str, config: Any, arguments: tuple[ms.Tensor, ...]) -> Any:
    """Run a compiled graph, as the end of `_JitExecutor.__call__` does."""
    executor = api.JitExecutor_ if api._run_jit_pipeline() else api.GraphExecutor_
    api._pynative_executor.set_jit_compile_phase(phase)
    executor.get_instance().set_jit_config(config.jit_config_dict)
    return api._convert_python_data(api._pynative_executor.grad_jit(*arguments))
