"""The graph for Ascend on a CPU: its bodies chosen, their operators replaced by the documented ones in NumPy."""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import mindspore as ms
import numpy as np
from mindspore import ops

from mindcold.engine import engine as engines
from mindcold.ops import ascend, decoder, lora_linear, registry, rope, swiglu, tree_attention
from tests.ascend import documented

GRAPH = (decoder, lora_linear, rope, swiglu, tree_attention)


def array(value):
    """A tensor as NumPy's, bfloat16 as that of ml_dtypes; anything else as it is."""
    if not isinstance(value, ms.Tensor):
        return value
    if value.dtype == ms.bfloat16:
        return value.float().asnumpy().astype(documented.BF16)
    return value.asnumpy()


def tensor(value):
    """The way back."""
    if value.dtype == documented.BF16:
        return ms.Tensor(value.astype(np.float32), ms.bfloat16)
    return ms.Tensor(np.ascontiguousarray(value))


def on_tensors(function, calls=None, **fixed):
    """A documented operator called with tensors; its name goes into `calls`."""

    def run(*arguments, **named):
        if calls is not None:
            calls.add(function.__name__)
        out = function(*map(array, arguments), **{name: array(value) for name, value in named.items()}, **fixed)
        return tuple(map(tensor, out)) if isinstance(out, tuple) else tensor(out)

    return run


class EagerGraph:
    """In the place of the engine's compiled graph: the cell, called operator by operator."""

    def __init__(self, cell):
        self.cell = cell.set_train(False)

    def __call__(self, *arguments):
        return self.cell(*arguments)

    def release(self):
        pass


def bfloat16_of(cls, function):
    """`__call__` of an operator that has no bfloat16 on CPU, with one."""
    original = cls.__call__

    def call(self, *arguments):
        if any(isinstance(item, ms.Tensor) and item.dtype == ms.bfloat16 for item in arguments):
            return function(self, *arguments)
        return original(self, *arguments)

    return patch.object(cls, "__call__", call)


def gather(self, x, index, axis):
    return tensor(np.take(array(x), array(index), axis))


def scatter_nd_update(self, x, index, update):
    written = array(x).copy()
    written[array(index)[:, 0]] = array(update)
    x.assign_value(tensor(written))
    return x


def multiply(self, a, b):
    return tensor(documented.matmul(array(a), array(b), self.transpose_b))


def where(condition, x, y):
    if not any(isinstance(item, ms.Tensor) and item.dtype == ms.bfloat16 for item in (x, y)):
        return WHERE(condition, x, y)
    return tensor(np.where(array(condition), array(x), array(y)))


WHERE = ops.where


@contextmanager
def ascend_bodies():
    """Operators choose as on Ascend while it lasts."""
    with ExitStack() as stack:
        for operator in map(operator_of, GRAPH):
            body = next(body for body in operator.bodies if body.name == "ascend")
            stack.enter_context(patch.object(operator, "_chosen", body))
        yield


@contextmanager
def ascend_graph(exact=False):
    """The same, with the operators replaced and nothing compiled; gives the names of the stand-ins that were called.

    `exact`: keys and values are float32, which the attention of the documentation does not take.
    """
    calls = set()
    fixed = {"dtypes": (*documented.HALVES, np.dtype(np.float32))} if exact else {}
    replaced = {
        "rms_norm": on_tensors(documented.rms_norm, calls),
        "swiglu": on_tensors(documented.swiglu, calls),
        "rotary_position_embedding": on_tensors(documented.rotary_position_embedding, calls),
        "fused_infer_attention_score": on_tensors(documented.fused_infer_attention_score, calls, **fixed),
        "where": where,
    }
    before = {name: ms.get_context(name) for name in ("mode", "pynative_synchronize")}
    with ExitStack() as stack:
        for name, function in replaced.items():
            stack.enter_context(patch.object(ops, name, function))
        for cls, function in ((ops.ScatterNdUpdate, scatter_nd_update), (ops.MatMul, multiply)):
            stack.enter_context(bfloat16_of(cls, function))
        # MindSpore on CPU, called operator by operator, may hand memory on while a kernel still writes to it: rows and
        # what they choose stay with NumPy, which waits
        stack.enter_context(patch.object(ms.Tensor, "__getitem__", lambda x, key: tensor(np.asarray(array(x)[key]))))
        stack.enter_context(patch.object(ops.Gather, "__call__", gather))
        stack.enter_context(ascend_bodies())
        if exact:
            stack.enter_context(patch.dict(ascend.CACHES, {"float32": ms.float32}))
        stack.enter_context(patch.object(engines, "Graph", EagerGraph))
        ms.set_context(mode=ms.PYNATIVE_MODE, pynative_synchronize=True)
        try:
            yield calls
        finally:
            ms.set_context(**before)


def operator_of(item):
    """The registered operator, of the package or of itself."""
    return item if isinstance(item, registry.Operator) else item.operator
