"""An adapter as a file holds it: low-rank pairs by HuggingFace module path, scaling not yet applied."""

from dataclasses import dataclass, field

import numpy as np

from mindcold.adapter import Adapter, LoraPair


@dataclass(frozen=True, slots=True)
class StoredPair:
    """`a` float32 [rank, in] and `b` float32 [out, rank]; the update is scaling * b @ a."""

    a: np.ndarray
    b: np.ndarray
    scaling: float

    @property
    def rank(self) -> int:
        """The inner dimension."""
        return self.a.shape[0]

    def folded(self) -> "StoredPair":
        """The same update with scaling 1."""
        with np.errstate(over="ignore"):  # looked for where the whole adapter is known
            return StoredPair(self.a, self.b * np.float32(self.scaling), 1.0)

    def trimmed(self) -> "StoredPair":
        """Without the components whose column of `b` is zero, which add nothing; all of them where all are zero."""
        used = self.b.any(axis=0)
        if used.all() or not used.any():
            return self
        return StoredPair(np.ascontiguousarray(self.a[used]), np.ascontiguousarray(self.b[:, used]), self.scaling)

    def padded(self, rank: int) -> "StoredPair":
        """With components of zeros up to this rank."""
        more = rank - self.rank
        return StoredPair(np.pad(self.a, ((0, more), (0, 0))), np.pad(self.b, ((0, 0), (0, more))), self.scaling)


@dataclass(frozen=True, slots=True)
class StoredAdapter:
    """The content of an adapter in any format."""

    pairs: dict[str, StoredPair] = field(repr=False)
    dtype: str
    """Of the tensors in the file, as safetensors names it, or "mixed"."""
    replaced: dict[str, np.ndarray] = field(default_factory=dict, repr=False)
    """`model.embed_tokens` or `lm_head` to float32 [vocab, hidden]."""

    def adapter(self, name: str) -> Adapter:
        """The adapter as the engine takes it."""
        pairs = {}
        for module, pair in self.pairs.items():
            folded = pair.folded()
            pairs[module] = LoraPair(folded.a, folded.b)
        return Adapter(name, max((pair.rank for pair in self.pairs.values()), default=0), pairs, self.replaced)
