"""MindFormers' mcore inference networks (Qwen2, Qwen3) as the engine's network, with their own paged cache."""

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import ops

from mindcold.adapter import Adapter
from mindcold.config import ModelConfig
from mindcold.engine import MAX_ROWS, HostCache
from mindcold.mindformers.gated_linear import GatedLinears
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.overlay import Overlay
from mindcold.model.adapter_bank import BASE_ADAPTER
from mindcold.ops.rows import LINES, Row

HIDDEN = -10000.0
"""What the attention adds to the score of a position that a row may not see, as in MindFormers' own masks."""

TRIED = 8
"""Tokens of the call that shows whether the mask is taken."""

NEAR = 0.1
"""Of the largest logit: above what bfloat16 rounds, below what a text that is seen too early changes."""


class PagedNetwork:
    """Called with the rows of a step: each of its segments is one entry of the network's batch.

    An entry may have several tokens, of a prompt or a draft, which must be a chain; all of them go through the
    network's decoding graph, which writes their keys and values into the pages of the segment and attends to the pages
    under a causal mask. The shapes of that graph are dynamic: nothing is compiled per number of rows.

    Run on a CPU under stand-ins for the operators that MindSpore has for Ascend alone. On Ascend written, not run:
    whether its PagedAttention takes the mask as it is given here, where q_seq_lens is above 1, is seen there at the
    first step, which refuses to go on where it does not.
    """

    def __init__(
        self,
        network: Any,
        config: ModelConfig,
        adapters: list[Adapter],
        overlay: Overlay,
        old: "PagedNetwork | None" = None,
    ):
        """Adapters, flags and cache become changes of the overlay; keys and values of `old` live on."""
        self._network, self._overlay = network, overlay
        self._page = cache_of(network).page
        with overlay.recorded():
            self._linears = GatedLinears(network, config, adapters, MAX_ROWS)
            network.set_train(False)
            network.add_flags_custom_mcore(is_prefill=False)
            if old:
                network.key_cache, network.value_cache = old.caches
            network._set_kv_cache()  # where there is none
            self.caches: tuple[Any, Any] = (network.key_cache, network.value_cache)
            network.set_dynamic_inputs()
        if old is None:
            self._check_mask()

    def __call__(self, rows: np.ndarray, take: np.ndarray) -> ms.Tensor:
        """Logits float32 [L, vocab] of the rows in `take`, see `mindcold.engine.HostNetwork`."""
        network, used = self._network, rows[:, : int((rows[Row.SEGMENT] >= 0).sum())]
        self._linears.choose(used[Row.ADAPTER])
        with self._overlay.laid():
            inputs, _ = network.prepare_inputs_for_generation_mcore(prefill=False, **paged_inputs(used, self._page))
            logits = network(**inputs)
        return ops.gather(logits.reshape((used.shape[1], -1)), ms.Tensor(np.clip(take, 0, used.shape[1] - 1)), 0)

    def _check_mask(self) -> None:
        """Refuse a device on which tokens have other logits in one call than one by one; no slot is in use yet."""
        last = min(TRIED, self._page) - 1
        rows = np.zeros((LINES, last + 1), np.int32)
        rows[[Row.TOKEN, Row.POSITION, Row.SLOT]] = np.arange(last + 1)
        rows[Row.ADAPTER] = BASE_ADAPTER
        together = self(rows, np.array([0, last], np.int32)).asnumpy()
        single = np.zeros(1, np.int32)
        alone = np.concatenate([self(rows[:, i : i + 1], single).asnumpy() for i in (0, last)])
        if np.abs(together - alone).max() > NEAR * np.abs(alone).max():
            raise MindFormersError(
                f"{type(self._network).__name__}: several tokens in one call give other logits than one by one: its "
                "attention does not take the mask on this device; use backend='engine'"
            )


def cache_of(network: Any) -> HostCache:
    """The pages of a network's cache; segments take whole ones, and share and move none."""
    config = network.get_gpt_model().config
    return HostCache(config.block_size, config.num_blocks * config.block_size, branches=False)


def paged_inputs(rows: np.ndarray, page: int) -> dict[str, Any]:
    """Rows of a step, int32 [11, R] without padding, as `prepare_inputs_for_generation_mcore` takes them.

    Each segment is an entry: `q_seq_lens` are its rows in this step, `valid_length_each_example` all its tokens, and
    its line of `block_tables` names the pages from its first slot on, -1 after them. Where an entry has several rows,
    `attention_mask` float32 [R, positions] hides what comes after each.
    """
    segments, positions = rows[Row.SEGMENT], rows[Row.POSITION]
    starts = np.flatnonzero(np.diff(segments, prepend=-1))
    counts = np.diff(starts, append=len(segments)).astype(np.int32)
    lengths = positions[starts + counts - 1] + 1
    pages = -(-lengths // page)
    numbers = np.arange(pages.max(), dtype=np.int32)
    tables = rows[Row.SEGMENT_START][segments[starts]][:, None] // page + numbers
    tables[numbers >= pages[:, None]] = -1
    mask = None
    if counts.max() > 1:
        mask = np.where(np.arange(lengths.max()) > positions[:, None], HIDDEN, 0).astype(np.float32)
    return {
        "input_ids": rows[Row.TOKEN].copy(),
        "valid_length_each_example": lengths,
        "block_tables": tables,
        "slot_mapping": rows[Row.SLOT].copy(),
        "q_seq_lens": counts,
        "position_ids": positions.copy(),
        "attention_mask": mask,
    }
