"""What mcore inference networks need to run on a CPU: stand-ins for operators that MindSpore has for Ascend alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

SLOTS = 1024
"""Slots of every layer's cache: num_blocks x block_size of the networks under test."""

BLOCK = 16


def rms_norm(self: Any, x: Any) -> Any:
    """RMSNorm.construct."""
    y = self.cast(x, self.compute_type)
    y = y * ops.rsqrt(ops.mean(y * y, -1, True) + self.eps) * self.weight
    return self.cast(y, x.dtype)


def rotary(self: Any, query: Any, key: Any, rotary_pos_cos: Any, rotary_pos_sin: Any, seq_lens_tensor: Any) -> Any:
    """RotaryEmbedding.construct, with cos and sin of every row [T, head_dim]."""
    return (
        _rotated(query, rotary_pos_cos, rotary_pos_sin, self.kv_channels),
        _rotated(key, rotary_pos_cos, rotary_pos_sin, self.kv_channels),
    )


def _rotated(x: Any, cos: Any, sin: Any, size: int) -> Any:
    heads = x.reshape(x.shape[0], -1, size)
    half = size // 2
    turned = ops.cat((-heads[:, :, half:], heads[:, :, :half]), -1)
    return (heads * ops.expand_dims(cos, 1) + turned * ops.expand_dims(sin, 1)).reshape(x.shape)


class PagedAttention(nn.Cell):
    """Attention over pages, in the place of FlashAttention: own cache, mask as PagedAttention takes it.

    A row sees the slots of its sequence's pages up to `batch_valid_length`, with attn_mask [T, S] (or [1, 1]) added to
    its scores; in prefill it sees those up to itself.
    """

    def __init__(
        self, head_num: int, head_dim: int, kv_head_num: int, scale_value: float, pa_kv_head_num: int, **_: Any
    ):
        super().__init__()
        self.heads, self.size, self.scale = head_num, head_dim, scale_value
        self.kv_heads = pa_kv_head_num
        self.is_prefill = True
        for name in ("k_cache", "v_cache"):
            zeros = ms.Tensor(np.zeros((SLOTS, self.kv_heads * head_dim), np.float32))
            setattr(self, name, Parameter(zeros, name=name, requires_grad=False))
        self.write = ops.ScatterNdUpdate()
        self.offsets = ms.Tensor(np.arange(BLOCK, dtype=np.int32))

    def construct(
        self,
        query: Any,
        key: Any,
        value: Any,
        slot_mapping: Any = None,
        block_tables: Any = None,
        batch_valid_length: Any = None,
        context_lens_tensor: Any = None,
        q_seq_lens: Any = None,
        actual_seq_qlen: Any = None,
        actual_seq_kvlen: Any = None,
        attn_mask: Any = None,
        padding_mask: Any = None,
        prefix: Any = None,
        key_cache: Any = None,
        value_cache: Any = None,
    ) -> Any:
        rows = query.shape[0]
        places = slot_mapping.reshape(-1, 1)
        written = (self.write(self.k_cache, places, key), self.write(self.v_cache, places, value))
        query = ops.depend(query, written)
        ends = ops.cumsum(q_seq_lens, 0)
        number = ops.arange(0, rows, 1).astype(ms.int32)
        entry = (number.reshape(-1, 1) >= ends.reshape(1, -1)).astype(ms.int32).sum(-1)
        length = ops.gather(batch_valid_length, entry, 0)
        position = length - ops.gather(ends, entry, 0) + number
        tables = ops.gather(ops.maximum(block_tables, 0), entry, 0)
        slots = (ops.expand_dims(tables, -1) * BLOCK + self.offsets).reshape(rows, -1)
        reach = slots.shape[1]
        keys = ops.gather(self.k_cache, slots, 0).reshape(rows, reach, self.kv_heads, self.size)
        values = ops.gather(self.v_cache, slots, 0).reshape(rows, reach, self.kv_heads, self.size)
        grouped = query.reshape(rows, 1, self.kv_heads, -1, self.size)
        scores = (grouped * ops.expand_dims(keys, 3)).sum(-1) * self.scale  # [T, S, kv, group]
        place = ops.arange(0, reach, 1).astype(ms.int32)
        if self.is_prefill:
            hidden = place.reshape(1, -1) > position.reshape(-1, 1)
        else:
            hidden = place.reshape(1, -1) >= length.reshape(-1, 1)
            columns = ops.minimum(place, attn_mask.shape[1] - 1)
            scores = scores + ops.gather(attn_mask, columns, 1).reshape(-1, reach, 1, 1)
        scores = ops.where(hidden.reshape(rows, reach, 1, 1), ms.Tensor(-1e30, ms.float32), scores)
        weights = ops.softmax(scores, 1)
        context = (ops.expand_dims(weights, -1) * ops.expand_dims(values, 3)).sum(1)
        return context.reshape(rows, -1)


def gather_last(self: Any, output: Any, context_lens_tensor: Any, seq_lens_tensor: Any) -> Any:
    """GPTModel.pre_gather_func."""
    if self.is_prefill:
        output = self.gather(output, ops.cumsum(seq_lens_tensor - context_lens_tensor, 0) - 1, 0)
    return output


@contextmanager
def stand_ins() -> Iterator[None]:
    """Let mcore networks be built and run on a CPU while it lasts; MindFormers' classes are themselves again after."""
    from mindformers.parallel_core.inference.base_models.common.embeddings import rotary_pos_embedding
    from mindformers.parallel_core.inference.base_models.gpt import gpt_layer_specs, gpt_model
    from mindformers.parallel_core.inference.transformer import norm

    with (
        patch.object(norm.RMSNorm, "construct", rms_norm),
        patch.object(rotary_pos_embedding.RotaryEmbedding, "construct", rotary),
        patch.object(gpt_layer_specs, "FlashAttention", PagedAttention),
        patch.object(gpt_model.GPTModel, "pre_gather_func", gather_last),
    ):
        yield


def fit(network: Any) -> Any:
    """A built network made to fit the stand-ins; gives it back."""
    network.model.move_lens_to_cpu = False
    network.add_flags_chunked(is_chunked=True)  # angles by position in prefill too
    network.hard_mask = ms.Tensor(np.zeros((1, 1), np.float32))
    network.argmax = ops.argmax
    return network
