"""What computing in place changes about a MindFormers network, laid over it for the time of a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from mindspore import nn
from mindspore.graph import api

from mindcold.engine.graph import forget

_NUMBERS = count()
_ABSENT = object()
# what MindSpore notes at a Cell about the graph it compiled last
_NOTES = ("_compiled", "_has_mutable_args_list", "sequence_modified", "current_phase")


class Overlay:
    """Changes of a network that hold inside of `with overlay.laid():` alone; before and after it is its own self.

    What is done to the network inside of `with overlay.recorded():` becomes a change: children put in, flags and
    attributes set. Inside of `laid`, graphs are compiled in a phase of our own, so those of the network's `generate`
    stay and are never taken for ours, which may have adapters in them.
    """

    def __init__(self, network: nn.Cell):
        self._network = network
        self._phase = f"increment_mindcold_{next(_NUMBERS)}"
        self._changes: list[tuple[dict[str, Any], str, Any]] = []

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record what the block changes, and take it back; if the block fails, nothing is recorded."""
        watched: list[dict[str, Any]] = []
        for _, cell in self._network.cells_and_names():
            own = vars(cell)
            watched += [own, own["_cells"], *([own["_func_graph_flags"]] if "_func_graph_flags" in own else [])]
        before = [dict(entries) for entries in watched]
        found: list[tuple[dict[str, Any], str, Any]] = []
        try:
            yield
        finally:
            for entries, old in zip(watched, before, strict=True):
                for key in sorted(entries.keys() | old.keys()):
                    value = entries.get(key, _ABSENT)
                    if value is not old.get(key, _ABSENT):
                        found += [(entries, key, value)] if key != "_phase" else []
                        _put(entries, key, old.get(key, _ABSENT))
        self._changes += found

    @contextmanager
    def laid(self) -> Iterator[None]:
        """The network with all changes, for the time of the block; what MindSpore notes at it stays ours."""
        own = vars(self._network)
        before = [(entries, key, entries.get(key, _ABSENT)) for entries, key, _ in self._changes]
        before += [(own, name, own.get(name, _ABSENT)) for name in ("_phase", *_NOTES)]
        try:
            for entries, key, value in self._changes:
                _put(entries, key, value)
            own["_phase"] = self._phase
            yield
        finally:
            for entries, key, value in before:
                _put(entries, key, value)

    def release(self) -> None:
        """Give back the memory of what was compiled inside of `laid`."""
        network = self._network
        phases = {phase for phase in network.compile_cache if phase.startswith(f"{self._phase}.")}
        if phases:
            api._cell_graph_executor.del_net_res(network, phases)
            network.compile_cache.difference_update(phases)
        network.phase_cache.pop(self._phase, None)
        forget(self._phase)


def _put(entries: dict[str, Any], key: str, value: Any) -> None:
    if value is _ABSENT:
        entries.pop(key, None)
    else:
        entries[key] = value
