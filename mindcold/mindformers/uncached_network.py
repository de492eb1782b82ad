"""MindFormers' legacy LlamaForCausalLM as the engine's network, without a cache: right, and slow."""

from typing import Any, NamedTuple

import mindspore as ms
import numpy as np

from mindcold.adapter import Adapter
from mindcold.config import ModelConfig
from mindcold.engine import HostCache
from mindcold.errors import RequestError
from mindcold.mindformers.gated_linear import GatedLinears
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.overlay import Overlay
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.ops.rows import Row

MAX_BATCH = 16
"""Paths of a call of the network."""

MAX_LOGITS = 16 * 1024 * 1024
"""Logits of a call of the network, a row of the vocabulary for each of its positions."""

NO_TOKEN = -1
"""What the network's mask takes for padding instead of its pad_token_id, which may be a token of a text."""


class Path(NamedTuple):
    """One text to compute: a way from the first token to the last row of it whose logits are wanted."""

    tokens: list[int]
    adapter: int
    places: dict[int, int]
    """Rows of the step whose logits are wanted, to their positions."""


class UncachedNetwork:
    """Called with the rows of a step: a slot of the pool holds the id of a token and nothing else.

    Every path to a row that is scored is computed from its first token on, padded to the network's seq_length, several
    paths in one call. So sequences may share and move slots as they like, and drafts be trees. Rows that nothing is
    asked of cost nothing.
    """

    def __init__(
        self,
        network: Any,
        config: ModelConfig,
        adapters: list[Adapter],
        overlay: Overlay,
        old: "UncachedNetwork | None" = None,
    ):
        """Adapters and flags become changes of the overlay; the tokens of `old` live on."""
        self._network, self._overlay = network, overlay
        self._length: int = network.config.seq_length
        self._vocab_size = config.vocab_size
        self._slots: np.ndarray = old._slots if old else np.zeros(1, np.int32)
        self._batch = max(1, min(MAX_BATCH, MAX_LOGITS // (self._length * config.vocab_size)))
        with overlay.recorded():
            self._linears = GatedLinears(network, config, adapters, self._batch * self._length)
            network.set_train(False)
            network.model.casual_mask.pad_token_id = NO_TOKEN

    def __call__(self, rows: np.ndarray, take: np.ndarray) -> ms.Tensor:
        """Logits float32 [L, vocab] of the rows in `take`, see `mindcold.engine.HostNetwork`."""
        self._write(rows)
        logits = np.zeros((rows.shape[1], self._vocab_size), np.float32)
        wanted = np.unique(take[take >= 0])
        paths = self._paths(rows, wanted[rows[Row.SEGMENT, wanted] >= 0].tolist())
        for first in range(0, len(paths), self._batch):
            group = paths[first : first + self._batch]
            ends = all(list(path.places.values()) == [len(path.tokens) - 1] for path in group)
            for path, found in zip(group, self._compute(group, ends), strict=False):
                logits[list(path.places)] = found if ends else found[list(path.places.values())]
        return ms.Tensor(logits[np.maximum(take, 0)])

    def _write(self, rows: np.ndarray) -> None:
        """Move tokens between slots and put those of the rows into theirs."""
        used = rows[Row.SEGMENT] >= 0
        highest = int(max(rows[Row.SLOT][used].max(initial=-1), rows[Row.TARGET].max()))
        if highest >= len(self._slots):
            self._slots = np.resize(self._slots, 2 * highest + 1)
        for source, target in rows[Row.SOURCE : Row.TARGET + 1].T.tolist():
            if source >= 0:
                self._slots[target] = self._slots[source]
        self._slots[rows[Row.SLOT][used]] = rows[Row.TOKEN][used]

    def _paths(self, rows: np.ndarray, wanted: list[int]) -> list[Path]:
        """The fewest paths that pass all these rows."""
        parents, found, passed = rows[Row.PARENT].tolist(), list[Path](), set[int]()
        for row in reversed(wanted):  # parents come before their children
            if row in passed:
                continue
            way = [row]
            while parents[way[0]] >= 0:
                way.insert(0, parents[way[0]])
            tokens = self._before(rows, way[0]) + rows[Row.TOKEN, way].tolist()
            if len(tokens) > self._length:
                raise RequestError(
                    f"prompt: {len(tokens)} tokens with what follows it exceed seq_length {self._length}"
                )
            here = [item for item in way if item in wanted and item not in passed]
            passed.update(way)
            found.append(
                Path(tokens, int(rows[Row.ADAPTER, row]), {item: int(rows[Row.POSITION, item]) for item in here})
            )
        return found

    def _before(self, rows: np.ndarray, row: int) -> list[int]:
        """The tokens of a row's sequence before it, from the slots of its segments."""
        end, segment, tokens = int(rows[Row.POSITION, row]), int(rows[Row.SEGMENT, row]), list[int]()
        while segment >= 0:
            start, first, parent = rows[Row.SEGMENT_START :, segment].tolist()
            tokens[:0] = self._slots[start : start + end - first].tolist()
            end, segment = first, parent
        return tokens

    def _compute(self, paths: list[Path], ends: bool) -> np.ndarray:
        """Logits float32 at the ends of some paths [at least as many, vocab], or everywhere [.., seq_length, vocab]."""
        size = min(self._batch, 1 << (len(paths) - 1).bit_length())  # of few sizes, each of which is compiled
        tokens = np.zeros((size, self._length), np.int32)
        ids = np.full((size, self._length), BASE_ADAPTER, np.int32)
        lengths = np.ones(size, np.int32)
        for i, path in enumerate(paths):
            tokens[i, : len(path.tokens)] = path.tokens
            ids[i], lengths[i] = path.adapter, len(path.tokens)
        self._linears.choose(ids.ravel())
        with self._overlay.laid():
            out = self._network(ms.Tensor(tokens), batch_valid_length=ms.Tensor(lengths) if ends else None)
        logits = out[0] if isinstance(out, tuple) else out  # by the run mode the network was made in
        return logits.asnumpy().reshape(size, *([] if ends else [self._length]), -1)


def cache_of(network: Any) -> HostCache:
    """Slots of token ids; MindFormersError for a network that would attend to a cache of its own."""
    if network.config.use_past:
        raise MindFormersError(
            f"{type(network).__name__}.config: use_past: a network with a cache of its own cannot compute in place; "
            "set use_past=False, or use backend='engine'"
        )
    return HostCache()
