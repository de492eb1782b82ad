"""decoder: all layers as one operator against the contract, and against its own single operators to the bit."""

import ctypes
import gc

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import load_file

from mindcold.adapter_formats import read_adapter
from mindcold.checkpoint import Checkpoint
from mindcold.config import ModelConfig
from mindcold.model.adapter_bank import AdapterBank
from mindcold.model.rope import inverse_frequencies
from mindcold.model.shapes import members
from mindcold.model.stack import ModelStack
from mindcold.model.weights import Weights
from mindcold.ops import build, decoder
from mindcold.ops.decoder.aot import SOURCE
from mindcold.ops.decoder.reference import LayerArrays, LinearArrays
from mindcold.ops.lora_linear import DTYPES, restored, stored
from mindcold.ops.rows import Row
from tests.folders import LLAMA, write_adapter, write_model
from tests.ops.test_tree_attention import make_rows

SLOTS, COUNT = 64, 16
SHAPES = {
    "qwen2, sliding": {
        "model_type": "qwen2",
        "num_key_value_heads": 1,
        "use_sliding_window": True,
        "sliding_window": 3,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 12},
    "biased": {"attention_bias": True, "mlp_bias": True},
}
TARGETS = ("q_proj", "v_proj", "o_proj", "gate_proj", "down_proj")


class Stack:
    """The layers of a random model with one adapter, and the same as arrays."""

    def __init__(self, folder, changes, dtype="float32"):
        self.folder = write_model(folder / "model", seed=7, **changes)
        self.config = ModelConfig.from_folder(self.folder)
        self.weights, self.dtype = Weights(Checkpoint(self.folder, self.config), dtype), dtype
        self.bank = AdapterBank(self.weights)
        adapter = write_adapter(folder / "adapter", seed=8, model=LLAMA | changes, targets=TARGETS)
        self.bank.add(read_adapter(adapter, self.config))

    def cell(self, backend):
        """The body over empty caches, and these."""
        size = (SLOTS, self.config.num_key_value_heads, self.config.head_dim)
        caches = [
            tuple(ms.Parameter(ms.Tensor.from_numpy(np.zeros(size, np.float32)), name=f"{i}.{side}") for side in "kv")
            for i in range(self.config.num_hidden_layers)
        ]
        stack = ModelStack(self.config, self.weights, self.bank, caches, backend)
        return decoder.body(backend, stack=stack), caches

    def arrays(self):
        """Arguments of the contract, over caches of its own."""
        tensors = load_file(self.folder / "model.safetensors")

        def linear(i, name, norm=None):
            full = f"model.layers.{i}.{name}"
            weight = np.concatenate([tensors[f"{part}.weight"] for part in members(full)])
            return LinearArrays(
                restored(*stored(weight, self.dtype)),
                self.weights.vector(f"{full}.bias"),
                tuple(self.bank.pairs(full)),
                None if norm is None else tensors[f"model.layers.{i}.{norm}.weight"],
            )

        size = (SLOTS, self.config.num_key_value_heads, self.config.head_dim)
        return [
            LayerArrays(
                linear(i, "self_attn.qkv_proj", "input_layernorm"),
                linear(i, "self_attn.o_proj"),
                linear(i, "mlp.gate_up_proj", "post_attention_layernorm"),
                linear(i, "mlp.down_proj"),
                np.zeros(size, np.float32),
                np.zeros(size, np.float32),
                tensors.get(f"model.layers.{i}.self_attn.q_norm.weight"),
                tensors.get(f"model.layers.{i}.self_attn.k_norm.weight"),
                self.config.window(i) or 0,
            )
            for i in range(self.config.num_hidden_layers)
        ]


def steps(config):
    """A prompt, then two sequences that end in draft trees, as (x, adapter, cos, sin, rows)."""
    rng = np.random.default_rng(3)
    prompt = [(0, 0, (-1, 0, 1, 2, 3, 4)), (20, 0, (-1, 0, 1))]
    trees = [(0, 6, (-1, 0, 0, 2)), (20, 3, (-1, 0, 1, 1, 0))]
    for spec in (prompt, trees):
        rows = make_rows(spec, COUNT)
        rows[Row.ADAPTER] = np.where(rows[Row.SEGMENT] < 0, -2, np.where(rows[Row.SEGMENT] == 0, 0, -1))
        angles = rows[Row.POSITION][:, None].astype(np.float32) * inverse_frequencies(config)
        x = rng.standard_normal((COUNT, config.hidden_size)).astype(np.float32)
        yield x, rows[Row.ADAPTER].copy(), np.cos(angles), np.sin(angles), rows


def compiled(cell):
    def step(*arguments):
        return cell(*arguments)

    graph = ms.jit(step)

    def run(x, adapter, cos, sin, rows):
        return graph(*map(ms.Tensor, (x, adapter, cos[:, None], sin[:, None], rows))).asnumpy()

    return run


@pytest.mark.parametrize("backend", ["aot", "single", "builtin"])
@pytest.mark.parametrize("name", SHAPES)
def test_bodies_against_the_contract(name, backend, tmp_path):
    """Each step a graph of its own over the same caches, as steps of several sizes are."""
    stack = Stack(tmp_path, SHAPES[name])
    (cell, _), arrays = stack.cell(backend), stack.arrays()
    for step in steps(stack.config):
        expected = decoder.reference(*step, arrays, stack.config.num_attention_heads, stack.config.rms_norm_eps)
        real = step[1] >= -1
        np.testing.assert_allclose(compiled(cell)(*step)[real], expected[real], atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_one_operator_gives_the_bits_of_single_ones(name, dtype, tmp_path):
    stack = Stack(tmp_path, SHAPES[name], dtype)
    (fused, fused_caches), (single, single_caches) = stack.cell("aot"), stack.cell("single")
    fused, single = compiled(fused), compiled(single)
    for step in steps(stack.config):
        real = step[1] >= -1
        np.testing.assert_array_equal(fused(*step)[real], single(*step)[real])
    for mine, its in zip(fused_caches, single_caches, strict=True):
        for one, other in zip(mine, its, strict=True):
            np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())
            assert one.asnumpy().any()


def test_a_handle_that_was_closed_is_an_error_and_not_a_crash(tmp_path):
    stack = Stack(tmp_path, SHAPES["biased"])
    cell, _ = stack.cell("aot")
    step = next(steps(stack.config))
    handle = cell.handle.asnumpy().copy()
    function = ctypes.CDLL(str(build.library(SOURCE))).decoder

    def call():
        items = [*(np.ascontiguousarray(item) for item in step), handle, np.empty_like(step[0])]
        pointers = (ctypes.c_void_p * 7)(*[item.ctypes.data for item in items])
        shapes = [(ctypes.c_int64 * item.ndim)(*item.shape) for item in items]
        table = (ctypes.c_void_p * 7)(*[ctypes.addressof(shape) for shape in shapes])
        return function(7, pointers, None, table, None, None, None)

    assert call() == 0
    del cell
    gc.collect()
    assert call() == 2
