"""The pool of KV cells and the slots that own ranges of it."""

from dataclasses import dataclass

import mindspore as ms
import numpy as np
import psutil

from mindcold.config import ModelConfig
from mindcold.errors import RequestError


@dataclass(slots=True)
class Slot:
    """One KV sequence: `size` cells from `start`, of which the first `length` hold committed tokens."""

    start: int
    size: int
    adapter: int
    """Adapter id of the sequence, -1 for the base; keys and values of different adapters differ."""
    length: int = 0


class KVPool:
    """Keys and values of all sequences: per layer two Parameters float32 [cells, kv_heads, head_dim].

    The last cell belongs to nobody: padding rows may write there.
    """

    def __init__(self, config: ModelConfig, cells: int, old: "KVPool | None" = None):
        """A pool of `cells` cells; the slots of `old`, if given, live on in it with their keys and values."""
        self.config, self.cells = config, cells
        bytes_needed = cells * self.cell_bytes(config)
        available = psutil.virtual_memory().available
        if bytes_needed > available:
            raise RequestError(
                f"KV cache of {cells} tokens needs {bytes_needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free; "
                "use shorter prompts, fewer new tokens or a smaller batch"
            )
        self._slots: list[Slot] = old._slots if old else []
        kept = old.caches if old and old._slots else [(None, None)] * config.num_hidden_layers
        self.caches: list[tuple[ms.Parameter, ms.Parameter]] = [
            (self._parameter(key, f"kv.{i}.key"), self._parameter(value, f"kv.{i}.value"))
            for i, (key, value) in enumerate(kept)
        ]

    @staticmethod
    def cell_bytes(config: ModelConfig) -> int:
        """Memory of one token of one sequence, bytes."""
        return 8 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim

    def _parameter(self, old: ms.Parameter | None, name: str) -> ms.Parameter:
        cells = np.zeros((self.cells, self.config.num_key_value_heads, self.config.head_dim), np.float32)
        if old is not None:
            cells[: old.shape[0]] = old.asnumpy()
        return ms.Parameter(ms.Tensor.from_numpy(cells), name=name, requires_grad=False)

    @property
    def used(self) -> int:
        """Cells up to the end of the last open slot."""
        return self._slots[-1].start + self._slots[-1].size if self._slots else 0

    def open(self, size: int, adapter: int) -> Slot | None:
        """The first free range of `size` cells as a slot, or None while there is none."""
        start = 0
        for position, slot in enumerate([*self._slots, None]):
            end = slot.start if slot else self.cells - 1
            if end - start >= size:
                fresh = Slot(start, size, adapter)
                self._slots.insert(position, fresh)
                return fresh
            if slot:
                start = slot.start + slot.size
        return None

    def close(self, slot: Slot) -> None:
        """Give the slot's cells back."""
        self._slots = [item for item in self._slots if item is not slot]
