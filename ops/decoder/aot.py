"""decoder in C++ on CPU: all layers as one operator."""

import ctypes
import weakref
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops import build
from mindcold.ops.decoder.layers import DecoderStack

SOURCE = Path(__file__).with_name("kernel.cc")


class AotDecoder(nn.Cell):
    """construct(x [R, hidden], adapter int32 [R], cos and sin [R, 1, D / 2], rows int32 [11, R]) -> [R, hidden].

    Reads weights, adapters and caches where they lie: a Parameter that no graph uses stays there. They live as long as
    this cell; a graph that outlives it fails, it reads nothing. Since the graph knows a handle alone, `take` gives it
    other layers of the same shape without compiling anything. See reference.py.
    """

    def __init__(self, stack: DecoderStack):
        super().__init__(auto_prefix=False)
        self.library = Library()
        self.library.take(stack)
        self.handle = ms.Tensor(np.array([self.library.handle], np.int64))
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:decoder",
            out_shape=lambda x, *rest: x,
            out_dtype=lambda x, *rest: x,
            func_type="aot",
        )
        self.run.add_prim_attr("side_effect_mem", True)  # it writes the caches

    def take(self, stack: DecoderStack) -> None:
        """Run these layers from the next step on."""
        self.library.take(stack)

    def construct(self, x, adapter, cos, sin, rows):
        return self.run(x, adapter, cos, sin, rows, self.handle)


class Library:
    """The layers that a handle stands for, and all they point to: no Cell, which would make the Parameters its own."""

    def __init__(self) -> None:
        self.handle = 0
        self._kept: list[Any] = []
        library = ctypes.CDLL(str(build.library(SOURCE)))
        self._set, self._close = library.decoder_set, library.decoder_close
        self._set.restype = ctypes.c_int64

    def take(self, stack: DecoderStack) -> None:
        """Let the handle stand for these layers."""
        pointers: list[int | None] = []
        numbers: list[int] = []
        pairs: list[int] = []
        kept: list[Any] = []
        for layer in stack.parts():
            linears = (layer.qkv_proj, layer.o_proj, layer.gate_up_proj, layer.down_proj)
            for linear in linears:
                scale = linear.weight.scale if linear.weight.dtype == "int8" else None
                pointers += [
                    linear.weight.panels.data_ptr(),
                    None if scale is None else scale.data_ptr(),
                    linear.vectors.ctypes.data,
                ]
                numbers += linear.numbers
                for pair in linear.pairs:
                    pairs += [*pair.numbers, pair.a.ctypes.data, pair.b.ctypes.data]
            pointers += [layer.rope_norms.ctypes.data, *(cache.data_ptr() for cache in layer.caches)]
            halves = layer.caches[0].dtype != ms.float32
            numbers += [int(len(layer.rope_norms) > 1), layer.window, int(halves)]
            kept.append(layer)
        shape = stack.shape
        sizes = (self.handle, shape.num_heads, shape.num_kv_heads, shape.head_dim, len(kept))
        handle = self._set(
            *(ctypes.c_int64(size) for size in sizes),
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_int64 * len(numbers))(*numbers),
            (ctypes.c_int64 * len(pairs))(*pairs),
        )
        if not self.handle:
            weakref.finalize(self, self._close, ctypes.c_int64(handle)).atexit = False
        self.handle, self._kept = handle, kept
