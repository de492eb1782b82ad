"""decoder in C++ on CPU: all layers as one operator."""

import ctypes
import weakref
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from mindcold.ops import build
from mindcold.ops.decoder.layers import Layers

SOURCE = Path(__file__).with_name("kernel.cc")


class AotDecoder(nn.Cell):
    """construct(x [R, hidden], adapter int32 [R], cos and sin [R, 1, D / 2], rows int32 [11, R]) -> [R, hidden].

    Reads the weights and caches of the single cells, which have to be C++ bodies, where they lie: a Parameter or
    Tensor that no graph uses stays there. They live as long as this cell; a graph that outlives it fails, it reads
    nothing. See reference.py.
    """

    def __init__(self, layers: Layers):
        super().__init__(auto_prefix=False)
        library = ctypes.CDLL(str(build.library(SOURCE)))
        library.decoder_open.restype = ctypes.c_int64
        pointers, numbers, kept = [], [], []
        for layer in layers.parts():
            linears = (layer.qkv_proj, layer.o_proj, layer.gate_up_proj, layer.down_proj)
            constants = [item for linear in linears for item in linear.constants]
            constants += [layer.rope.norms, *layer.caches]
            pointers += [None if item is None else item.data_ptr() for item in constants]
            numbers += [number for linear in linears for number in linear.numbers]
            halves = layer.caches[0].dtype != ms.float32
            numbers += [int(layer.rope.norms.shape[0] > 1), layer.window, int(halves)]
            kept.append(constants)
        shape = layers.shape
        handle = library.decoder_open(
            *(ctypes.c_int64(item) for item in (shape.num_heads, shape.num_kv_heads, shape.head_dim, len(kept))),
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_int64 * len(numbers))(*numbers),
        )
        self.kept = Kept(kept)
        weakref.finalize(self, library.decoder_close, ctypes.c_int64(handle)).atexit = False
        self.handle = ms.Tensor(np.array([handle], np.int64))
        self.run = ops.Custom(
            f"{build.library(SOURCE)}:decoder",
            out_shape=lambda x, *rest: x,
            out_dtype=lambda x, *rest: x,
            func_type="aot",
        )
        self.run.add_prim_attr("side_effect_mem", True)  # it writes the caches

    def construct(self, x, adapter, cos, sin, rows):
        return self.run(x, adapter, cos, sin, rows, self.handle)


class Kept:
    """What a kernel points to: a plain object, since a Cell would make the Parameters its own."""

    def __init__(self, items: list):
        self.items = items
