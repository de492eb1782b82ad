"""ADED's drafter: an adaptive trigram table and a tree search over it (arXiv 2407.12021)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mindcold.drafting.drafter import Draft
from mindcold.errors import RequestError
from mindcold.ops import trigram_draft
from mindcold.ops.trigram_draft.reference import Table

BUCKETS = 1 << 14
"""Buckets of a table: 6.8 MB, 65,536 contexts."""

STEP, CAP = 0.04, 3.0
"""ADED's constants: what one sighting adds to a weight, and the most a weight can reach."""

SIGHTINGS = 6
"""How many of ADED's steps a decided token counts. Its code counts every window of the last 16 tokens anew at each
call, about 14 / (1 + accepted) times; counting once with that weight is the same and cheaper."""

DEPTH = 8
"""Longest path of a tree."""

FLOOR = 1e-3
"""Nodes less probable than this are not worth a row."""


FORMAT = "mindcold trigram tables 1"


class TrigramTables:
    """The tables of a loaded model: one shared, filled from text, and one per adapter, filled as decoding goes.

    CoLD's output differs from the base's, so what is learned is kept apart by adapter and method. Memory is set by the
    number of buckets and of tables, at most `limit` beside the shared one; the table used longest ago goes first.
    """

    def __init__(self, vocab_size: int, buckets: int = BUCKETS, limit: int = 8, backend: str = "auto"):
        self.vocab_size, self._buckets, self._limit = vocab_size, buckets, limit
        self.shared = Table.empty(buckets)
        self.body = trigram_draft.body(backend)
        self._own: dict[str, Table] = {}

    @staticmethod
    def key(adapter: str, score: str) -> str:
        """Name of the table of an adapter under a score."""
        return f"{adapter}/{score}"

    def own(self, key: str) -> Table:
        """The table of this name."""
        table = self._own.pop(key, None)
        if table is None:
            table = Table.empty(self._buckets)
        while len(self._own) >= self._limit:
            self._own.pop(next(iter(self._own)))
        self._own[key] = table
        return table

    def seed(self, ids: Sequence[int]) -> None:
        """Count one text into the shared table."""
        self.body.update(self.shared, ids, 0, STEP, CAP)

    @property
    def nbytes(self) -> int:
        """Memory of all tables, bytes."""
        tables = [self.shared, *self._own.values()]
        return sum(table.keys.nbytes + table.tokens.nbytes + table.weights.nbytes for table in tables)

    def save(self, path: str | Path) -> None:
        """Write all tables to a safetensors file, in one piece."""
        tensors: dict[str, np.ndarray] = {}
        for i, table in enumerate([self.shared, *self._own.values()]):
            tensors |= {f"{i}.keys": table.keys, f"{i}.tokens": table.tokens, f"{i}.weights": table.weights}
        about = {"format": FORMAT, "vocab_size": str(self.vocab_size), "tables": json.dumps(list(self._own))}
        partial = Path(path).with_name(f"partial-{Path(path).name}")
        try:
            save_file(tensors, partial, about)
            partial.replace(path)
        except OSError as error:
            raise RequestError(f"{path}: {error.strerror or error}") from None

    def load(self, path: str | Path, adapters: Sequence[str]) -> None:
        """Take the place of all tables from a file that `save` wrote.

        Raises RequestError for a damaged file, and for tables of another vocabulary or of an adapter that is not among
        the names given.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except FileNotFoundError:
            raise RequestError(f"{path}: no such file") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise RequestError(f"{path}: truncated or not a safetensors file ({error})") from None
        if about.get("format") != FORMAT:
            raise RequestError(f"{path}: format: {about.get('format')!r}, but {FORMAT!r} is expected")
        if about.get("vocab_size") != str(self.vocab_size):
            raise RequestError(f"{path}: vocab_size: {about.get('vocab_size')}, but the model has {self.vocab_size}")
        names = _names(path, about)
        for name in names:
            if name.split("/")[0] not in adapters:
                known = ", ".join(adapters)
                raise RequestError(f"{path}: tables: {name!r} is of an adapter that is not loaded; loaded are {known}")
        tables = [_table(path, tensors, i, self.vocab_size) for i in range(len(names) + 1)]
        self.shared, self._own = tables[0], dict(zip(names, tables[1:], strict=True))


def _names(path: str | Path, about: dict[str, str]) -> list[str]:
    try:
        names = json.loads(about.get("tables", ""))
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestError(f"{path}: tables: a list of names is expected")
    return names


def _table(path: str | Path, tensors: dict[str, np.ndarray], number: int, vocab_size: int) -> Table:
    """One table of a file, refused unless its arrays are what kernels may trust."""
    arrays = [tensors.get(f"{number}.{name}") for name in ("keys", "tokens", "weights")]
    keys, tokens, weights = arrays
    if keys is None or tokens is None or weights is None:
        raise RequestError(f"{path}: table {number}: missing")
    model = Table.empty(1)
    for array, like in zip((keys, tokens, weights), (model.keys, model.tokens, model.weights), strict=True):
        if array.dtype != like.dtype or array.shape[1:] != like.shape[1:] or not 1 <= len(array) == len(keys):
            raise RequestError(f"{path}: table {number}: an array has the wrong type or shape")
    if tokens.max() >= vocab_size or tokens.min() < -1 or not (np.isfinite(weights).all() and weights.min() >= 0):
        raise RequestError(f"{path}: table {number}: holds tokens or weights that cannot be")
    if (weights[tokens < 0] != 0).any():
        raise RequestError(f"{path}: table {number}: holds tokens or weights that cannot be")
    return Table(*(np.array(array) for array in (keys, tokens, weights)))


class TrigramDrafter:
    """One request's view of the tables."""

    def __init__(self, tables: TrigramTables, key: str):
        self._tables, self._own = tables, tables.own(key)

    def propose(self, ids: Sequence[int], budget: int) -> Draft:
        """The `budget` most probable nodes behind the last two tokens."""
        last = (ids[-2] if len(ids) > 1 else -1, ids[-1])
        return Draft(*self._tables.body.draft(self._tables.shared, self._own, last, budget, DEPTH, FLOOR))

    def observe(self, ids: Sequence[int], new: int) -> None:
        """Count the new tokens in."""
        window = ids[-(new + 2) :]
        self._tables.body.update(self._own, window, len(window) - new, STEP * SIGHTINGS, CAP)
