"""ADED's drafter: an adaptive trigram table and a tree search over it (arXiv 2407.12021)."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from mindcold import files, values
from mindcold.drafting.budget import Budget
from mindcold.drafting.drafter import Draft
from mindcold.errors import RequestError, one_line
from mindcold.ops import trigram_draft
from mindcold.ops.trigram_draft.bodies import Verified, as_array
from mindcold.ops.trigram_draft.table import REACH, SUCCESSORS, WAYS, Table, last_tokens, normalise

MEMORY = 27
"""Megabytes of a table: 260,000 contexts."""

BUCKET_BYTES = WAYS * (8 + 8 * SUCCESSORS)
"""Memory of a bucket: keys, successors and weights of its entries."""

CAP = 3.0
"""What a weight can reach at most (ADED), and what the weights of a context of the shared table add up to."""


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How what is decided changes the weights."""

    step: float
    """Added to the weight of what was seen."""
    keep: float
    """What the other successors of its context keep of theirs."""
    window: int
    """Last tokens counted anew at every call; 0 counts each token once."""
    best: int = 0
    """How many of the best tokens of every verified row are learned, of rejected drafts too."""


ADAPTATIONS = {"aded": Adaptation(0.04, 1.0, 16), "decay": Adaptation(0.24, 0.9, 0, 8)}
"""The published rule and its constants (arXiv 2407.12021 and its code); and one that forgets, which accepts more: a
token counts once, with about the weight the first gives it over its calls, what is seen no longer fades, and what the
model said beside its choices is learned."""

DEPTH = 16
"""Longest path of a tree."""

FLOOR = 1e-3
"""Nodes less probable than this are not worth a row."""


ARRAYS = ("keys", "tokens", "weights", "recalls")
"""What a file holds of each table."""

KIND = "mindcold trigram tables"
FORMAT = f"{KIND} 3"

DRAFT_MODEL = "draft model "
"""Begins the owner of a table that learns from a draft model."""


class TableKey(NamedTuple):
    """Whose output a table learns from."""

    owner: str
    """Name of an adapter, or of the base."""
    score: str = "plain"
    """The score it decodes by."""


class TrigramTables:
    """The tables of a loaded model: one shared, filled from text, and one per adapter, filled as decoding goes.

    CoLD's output differs from the base's, so what is learned is kept apart by adapter and score. Each table takes
    `memory` megabytes; there are at most `limit` beside the shared one, and the table used longest ago goes first, with
    all that belongs to it.
    """

    def __init__(
        self,
        vocab_size: int,
        buckets: int | None = None,
        limit: int = 8,
        backend: str = "auto",
        memory: float = MEMORY,
    ):
        buckets = buckets or max(1, int(memory * 1e6) // BUCKET_BYTES)
        self.vocab_size, self._buckets, self._limit = vocab_size, buckets, limit
        self.shared = Table.empty(buckets)
        self.body = trigram_draft.body(backend)
        self._own: dict[TableKey, Table] = {}
        self._budgets: dict[TableKey, dict[object, Budget]] = {}

    def own(self, key: TableKey) -> Table:
        """The table of this name."""
        table = self._own.pop(key, None)
        if table is None:
            table = Table.empty(self._buckets)
        while len(self._own) >= self._limit:
            oldest = next(iter(self._own))
            self._own.pop(oldest)
            self._budgets.pop(oldest, None)
        self._own[key] = table
        return table

    def budget(self, key: TableKey, kind: object) -> Budget:
        """What chooses the size of drafts from the table of this name, for one kind of requests."""
        return self._budgets.setdefault(key, {}).setdefault(kind, Budget())

    def warm(self, texts: Iterable[Sequence[int]]) -> None:
        """Fill the shared table anew with what follows what in these texts, given as token ids."""
        counts = Table.empty(self._buckets)
        for ids in texts:
            self.body.update(counts, ids, 0, 1.0, float("inf"))
        normalise(counts, CAP)
        self.shared = counts

    @property
    def nbytes(self) -> int:
        """Memory of all tables, bytes."""
        tables = [self.shared, *self._own.values()]
        return sum(getattr(table, name).nbytes for table in tables for name in ARRAYS)

    def save(self, path: str | Path) -> None:
        """Write all tables to a safetensors file, in one piece; RequestError as for `check_target`."""
        check_target(path)
        tensors: dict[str, np.ndarray] = {}
        for i, table in enumerate([self.shared, *self._own.values()]):
            tensors |= {f"{i}.{name}": getattr(table, name) for name in ARRAYS}
        about = {"format": FORMAT, "vocab_size": str(self.vocab_size), "tables": json.dumps(list(self._own))}
        try:
            files.write_tensors(path, tensors, about)
        except OSError as error:
            raise RequestError(f"{path}: {files.reason(error)}") from None

    def load(self, path: str | Path, owners: Sequence[str]) -> None:
        """Take the place of all tables from a file that `save` wrote.

        Raises RequestError for a damaged file, and for tables of another vocabulary or of an adapter that is not among
        the names given; those of draft models are taken as they are.
        """
        path = values.path("drafts", path, RequestError)
        if found := files.obstacle(path):
            raise RequestError(f"{path}: {found}")
        try:
            with safe_open(str(path), framework="numpy") as file:
                about = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except FileNotFoundError:
            raise RequestError(f"{path}: no such file") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise RequestError(f"{path}: truncated or not a safetensors file ({one_line(error)})") from None
        if about.get("format") != FORMAT:
            raise RequestError(f"{path}: format: {about.get('format')!r}, but {FORMAT!r} is expected")
        if about.get("vocab_size") != str(self.vocab_size):
            raise RequestError(f"{path}: vocab_size: {about.get('vocab_size')}, but the model has {self.vocab_size}")
        names = _names(path, about)
        for name in names:
            if name.owner not in owners and not name.owner.startswith(DRAFT_MODEL):
                known = ", ".join(owners)
                raise RequestError(
                    f"{path}: tables: {name.owner!r} is an adapter that is not loaded; loaded are {known}"
                )
        tables = [_table(path, tensors, i, self.vocab_size) for i in range(len(names) + 1)]
        self.shared, self._own, self._budgets = tables[0], dict(zip(names, tables[1:], strict=True)), {}


def check_target(path: str | Path) -> None:
    """RequestError unless tables can be written to a path: to a new file, or in the place of other tables."""
    files.check_target(values.path("drafts", path, RequestError), RequestError, "draft table", _is_tables)


def _is_tables(path: Path) -> bool:
    """Whether a file holds tables, of any version and model."""
    try:
        with safe_open(str(path), framework="numpy") as file:
            return str((file.metadata() or {}).get("format")).startswith(KIND)
    except (SafetensorError, OSError, ValueError):
        return False


def _names(path: str | Path, about: dict[str, str]) -> list[TableKey]:
    try:
        return [TableKey(str(owner), str(score)) for owner, score in json.loads(about.get("tables", ""))]
    except (ValueError, TypeError, RecursionError):
        raise RequestError(f"{path}: tables: a list of adapter and score is expected") from None


def _table(path: str | Path, tensors: dict[str, np.ndarray], number: int, vocab_size: int) -> Table:
    """One table of a file, refused unless its arrays are what kernels may trust."""
    arrays = {name: tensors.get(f"{number}.{name}") for name in ARRAYS}
    model, found = Table.empty(1), dict[str, np.ndarray]()
    for name, array_ in arrays.items():
        if array_ is None:
            raise RequestError(f"{path}: table {number}: missing")
        like = getattr(model, name)
        rows = 1 if name == "recalls" else len(found.get("keys", array_))
        if (
            array_.dtype != like.dtype
            or array_.shape[1:] != like.shape[1:]
            or len(array_) != rows * len(like)
            or not rows
        ):
            raise RequestError(f"{path}: table {number}: an array has the wrong type or shape")
        found[name] = np.array(array_)
    tokens, weights, recalls = found["tokens"], found["weights"], found["recalls"]
    sound = tokens.max() < vocab_size and tokens.min() >= -1 and not (weights[tokens < 0] != 0).any()
    sound = sound and np.isfinite(weights).all() and weights.min() >= 0 and np.isfinite(recalls).all()
    if (
        not sound
        or not (recalls >= 0).all()
        or not ((recalls[..., 1] > 0) & (recalls[..., 0] <= recalls[..., 1])).all()
    ):
        raise RequestError(f"{path}: table {number}: holds tokens or weights that cannot be")
    return Table(**found)


class TrigramDrafter:
    """One request's view of the tables."""

    size: int | None = None

    def __init__(self, tables: TrigramTables, key: TableKey, search: str = "best_first", adaptation: str = "decay"):
        self._tables, self._own = tables, tables.own(key)
        self._search, self._rule = search, ADAPTATIONS[adaptation]
        self._index = tables.body.index()
        self.best = self._rule.best

    def propose(self, ids: Sequence[int], budget: int, floor: float = 0.0) -> Draft:
        """At most `budget` nodes to follow the text, the most probable ones the search finds."""
        tables, recent = self._tables, ids[-REACH:]
        if self._search == "mcts":
            return Draft(*tables.body.search(tables.shared, self._own, last_tokens(ids, len(ids))[-2:], budget))
        floor = max(floor, FLOOR)
        return Draft(*tables.body.draft(tables.shared, self._own, self._index, recent, budget, DEPTH, floor))

    def path(self, ids: Sequence[int], length: int, floor: float = 0.0) -> list[int]:
        """The likeliest tokens after the text, at most `length`, as far as the path is at least so probable."""
        if length < 1:
            return []
        tables = self._tables
        return tables.body.likeliest(tables.shared, self._own, self._index, ids[-REACH:], length, floor)

    def observe(self, ids: Sequence[int], new: int, rows: Verified | None = None) -> None:
        """Count the new tokens in, and what the model said in the pass that decided them."""
        tables, rule, body, recent = self._tables, self._rule, self._tables.body, as_array(ids[-(new + REACH) :])
        start = len(recent) - new
        if self._search != "mcts":
            body.remember(tables.shared, self._own, self._index, recent, start)
        if rows and rule.best:
            body.absorb(self._own, ids[: len(ids) - new][-REACH:], rows)
        if rule.window:
            recent, start = as_array(ids[-rule.window :]), 2
        body.update(self._own, recent, start, rule.step, CAP, rule.keep)
