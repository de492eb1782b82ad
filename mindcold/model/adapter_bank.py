"""All live adapters side by side, so that one step can give every row its own."""

import numpy as np

from mindcold.adapter import Adapter

BASE = -1
"""Adapter id of rows that run the base model alone."""


class AdapterBank:
    """The low-rank pairs of several adapters, concatenated along the rank.

    Each adapter owns a range of rank columns; a row keeps the columns of its own adapter and drops the rest, which
    is the batched gather of multi-LoRA serving (CoLD, arXiv 2505.14620) in dense form.
    """

    def __init__(self, adapters: list[Adapter]):
        self.adapters = adapters
        ranks = [adapter.rank for adapter in adapters]
        self.total = sum(ranks)
        self.owner = np.repeat(np.arange(len(adapters), dtype=np.int32), ranks)
        """Adapter id that owns each rank column, int32 [total]."""
        self._starts = np.cumsum([0, *ranks])

    def pair(self, module: str, out_size: int, in_size: int) -> tuple[np.ndarray, np.ndarray] | None:
        """A float32 [total, in] and B float32 [out, total] of one module, or None where no adapter touches it."""
        if not any(module in adapter.pairs for adapter in self.adapters):
            return None
        a = np.zeros((self.total, in_size), np.float32)
        b = np.zeros((out_size, self.total), np.float32)
        for start, adapter in zip(self._starts, self.adapters, strict=False):
            pair = adapter.pairs.get(module)
            if pair is not None:
                rank = pair.a.shape[0]
                a[start : start + rank] = pair.a
                b[:, start : start + rank] = pair.b
        return a, b

    def replacing(self, module: str) -> list[int]:
        """Ids of the adapters that replace this module's whole weight."""
        return [i for i, adapter in enumerate(self.adapters) if module in adapter.replaced]
