"""The pool of KV slots and the segments that own ranges of it; a slot is the place of one token, as in vLLM."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import mindspore as ms
import numpy as np
import psutil

from mindcold.engine.host_network import HostCache
from mindcold.errors import RequestError


class CacheShape(Protocol):
    """What the size of a slot depends on."""

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def num_key_value_heads(self) -> int: ...

    @property
    def head_dim(self) -> int: ...


@dataclass(slots=True, eq=False)
class Segment:
    """A range of slots that holds the tokens of one stream from position `first` on; its parent holds those before."""

    start: int
    """First slot."""
    size: int
    """Slots."""
    adapter: int
    """Adapter id of the tokens, -1 for the base; keys and values of different adapters differ."""
    first: int = 0
    """Position of the token in the first slot."""
    parent: "Segment | None" = None

    def chain(self) -> "list[Segment]":
        """This segment and those that hold the positions before it."""
        return [self] if self.parent is None else [self, *self.parent.chain()]

    def slot(self, position: int) -> int:
        """Slot of a position that is not before `first`."""
        return self.start + position - self.first

    def slots(self, length: int) -> list[int]:
        """Slots of the first `length` positions, wherever they are held."""
        before = self.parent.slots(min(length, self.first)) if self.parent else []
        return [*before, *(self.slot(position) for position in range(len(before), length))]


class KVPool:
    """Keys and values of all sequences: per layer two Parameters [slots, kv_heads, head_dim], float32 if not said else.

    The last slot belongs to nobody: padding rows may write there. Where a host network has a cache of its own, there
    are no Parameters, and the pool only says which slots are whose.
    """

    def __init__(
        self,
        shape: CacheShape,
        slots: int,
        old: "KVPool | None" = None,
        host: HostCache | None = None,
        dtype: ms.Type = ms.float32,
    ):
        """A pool of `slots` slots; the segments of `old`, if given, live on in it with their keys and values.

        Raises RequestError where memory does not suffice.
        """
        self.shape, self.slots, self.dtype = shape, slots, dtype
        self.caches: list[tuple[ms.Parameter, ms.Parameter]] = []
        self._update = ms.ops.ScatterNdUpdate()
        self._segments: list[Segment] = list(old._segments) if old else []
        if host:
            return
        needed, available = slots * self.slot_bytes(shape, dtype), psutil.virtual_memory().available
        if needed > available:
            raise RequestError(
                f"KV cache of {slots} tokens needs {needed / 1e9:.1f} GB, {available / 1e9:.1f} GB are free; "
                "use shorter prompts, fewer new tokens or a smaller batch"
            )
        kept = old.caches if old and old._segments else [(None, None)] * shape.num_hidden_layers
        self.caches = [
            (self._parameter(key, f"kv.{i}.key"), self._parameter(value, f"kv.{i}.value"))
            for i, (key, value) in enumerate(kept)
        ]

    @staticmethod
    def slot_bytes(shape: CacheShape, dtype: ms.Type = ms.float32) -> int:
        """Memory of one token of one stream, bytes."""
        size = 4 if dtype == ms.float32 else 2
        return 2 * size * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim

    def _parameter(self, old: ms.Parameter | None, name: str) -> ms.Parameter:
        shape = (self.slots, self.shape.num_key_value_heads, self.shape.head_dim)
        values = np.zeros(shape, ms.dtype_to_nptype(self.dtype))
        if old is not None:
            values[: old.shape[0]] = old.asnumpy()
        return ms.Parameter(ms.Tensor.from_numpy(values), name=name, requires_grad=False)

    def read(self, slots: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Keys and values of some slots, float32 [slots, kv_heads, head_dim], for each layer."""
        places = list(slots)
        return [
            (key.asnumpy()[places].astype(np.float32), value.asnumpy()[places].astype(np.float32))
            for key, value in self.caches
        ]

    def write(self, slots: Sequence[int], values: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Put keys and values into some slots, rounded to the pool's dtype."""
        places, in_reach = np.array(slots, np.int32), ms.get_context("device_target") == "CPU"
        for layer, pair in zip(self.caches, values, strict=True):
            for cache, value in zip(layer, pair, strict=True):
                if in_reach:  # the array is the cache's own memory
                    cache.asnumpy()[places] = value
                else:
                    self._update(cache, ms.Tensor(places.reshape(-1, 1)), ms.Tensor(value).astype(self.dtype))

    @property
    def used(self) -> int:
        """Slots up to the end of the last segment."""
        return self._segments[-1].start + self._segments[-1].size if self._segments else 0

    @property
    def live(self) -> int:
        """Slots of all segments."""
        return sum(segment.size for segment in self._segments)

    def open(self, size: int, adapter: int) -> Segment | None:
        """The first free range of `size` slots as a segment, or None while there is none."""
        start = 0
        for place, segment in enumerate([*self._segments, None]):
            end = segment.start if segment else self.slots - 1
            if end - start >= size:
                fresh = Segment(start, size, adapter)
                self._segments.insert(place, fresh)
                return fresh
            if segment:
                start = segment.start + segment.size
        return None

    def close(self, segment: Segment) -> None:
        """Give its slots back."""
        self._segments = [item for item in self._segments if item is not segment]
