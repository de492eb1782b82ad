"""Graphs are compiled once per shape and then run without `mindspore.jit`, with the same results."""

import mindspore as ms
import numpy as np
import pytest
from mindspore.graph import api

from mindcold.engine.graph import Graph, phases_of


class Halves(ms.nn.Cell):
    def __init__(self):
        super().__init__()
        self.calls = ms.Parameter(ms.Tensor(np.zeros(1, np.float32)), name="calls")

    def construct(self, x, y):
        ms.ops.assign_add(self.calls, ms.ops.ones_like(self.calls))
        return x + y, (x - y) * self.calls


@ms.jit
def double(x):
    return 2 * x


def compiled_again(*arguments):
    raise RuntimeError("compiled again")


def numbers(*shape, kind=np.float32):
    return ms.Tensor(np.arange(np.prod(shape)).reshape(shape).astype(kind))


def test_a_compiled_graph_is_run_directly(monkeypatch):
    graph = Graph(Halves())
    for shape in ((2,), (3, 2)):
        graph(numbers(*shape), numbers(*shape))
    assert len(phases_of(graph._name)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(graph, "_call", compiled_again)
        for count, shape in ((3, (2,)), (4, (3, 2)), (5, (2,))):
            assert (double(numbers(2)).asnumpy() == [0, 2]).all()  # another function in between
            total, rest = graph(numbers(*shape), 3 * numbers(*shape))
            assert isinstance(total, ms.Tensor)
            assert (total.asnumpy() == 4 * numbers(*shape).asnumpy()).all()
            assert (rest.asnumpy() == -2 * count * numbers(*shape).asnumpy()).all()
        with pytest.raises(RuntimeError, match="compiled again"):
            graph(numbers(5), numbers(5))
        with pytest.raises(RuntimeError, match="compiled again"):
            graph(numbers(2, kind=np.int32), numbers(2, kind=np.int32))


def test_what_mindspore_has_dropped_is_compiled_again():
    graph = Graph(Halves())
    assert (graph(numbers(2), numbers(2))[0].asnumpy() == [0, 2]).all()  # it runs while the call has returned
    phases = phases_of(graph._name)
    api.JitExecutor_.get_instance().del_net_res(None, phases)
    api.ms_compile_cache.difference_update(phases)
    assert (graph(numbers(2), numbers(2))[0].asnumpy() == [0, 2]).all()


def test_a_released_graph_is_gone():
    graph = Graph(Halves())
    assert (graph(numbers(2), numbers(2))[0].asnumpy() == [0, 2]).all()  # it runs while the call has returned
    graph.release()
    assert not phases_of(graph._name)
    with pytest.raises(AssertionError, match="released"):
        graph(numbers(2), numbers(2))
