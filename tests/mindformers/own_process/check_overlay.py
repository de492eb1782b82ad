"""An overlay holds inside of its blocks alone, errors or not."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcold.mindformers.overlay import Overlay


class Scaled(nn.Cell):
    """A layer in the place of another."""

    def __init__(self, base):
        super().__init__(auto_prefix=False)
        self.base = base

    def construct(self, x):
        return 3 * self.base(x)


class Network(nn.Cell):
    """Two layers and a flag that its graph asks."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.doubled = nn.Dense(3, 3), nn.Dense(3, 3), False

    def construct(self, x):
        y = self.second(self.first(x))
        return 2 * y if self.doubled else y


def state(network):
    cells = dict(network.cells_and_names())
    own = {name: {key: value for key, value in vars(cell).items() if key not in NOTES} for name, cell in cells.items()}
    flags = {name: dict(vars(cell).get("_func_graph_flags", {})) for name, cell in cells.items()}
    return cells, own, flags


def same(found, expected):
    return (
        found[0] == expected[0]
        and found[2] == expected[2]
        and found[1].keys() == expected[1].keys()
        and all(
            found[1][name].keys() == own.keys() and all(found[1][name][key] is value for key, value in own.items())
            for name, own in expected[1].items()
        )
    )


@pytest.fixture
def network():
    ms.set_context(mode=ms.GRAPH_MODE)
    network = Network()
    network.set_train(True)
    network(X)
    return network


X = ms.Tensor(np.ones((2, 3), np.float32))
NOTES = ("_compile_cache", "_compile_phase", "arguments_key")  # of MindSpore, about the graph compiled last


def dressed(network):
    overlay = Overlay(network)
    with overlay.recorded():
        network.insert_child_to_cell("first", Scaled(network.first))
        network.set_train(False)
        network.add_flags(doubled=True)
        network.extra = [1]
    return overlay


def test_changes_hold_inside_of_blocks(network):
    plain, before = network(X).asnumpy(), state(network)
    overlay = dressed(network)
    assert same(state(network), before)
    with overlay.laid():
        assert isinstance(network.first, Scaled) and network.doubled and network.extra == [1]
        assert not network.training and not network.second.training
        inside = network(X).asnumpy()
    assert same(state(network), before)
    bias, weight = network.second.bias.asnumpy(), network.second.weight.asnumpy()
    assert np.allclose(inside, 2 * (3 * network.first(X).asnumpy() @ weight.T + bias), atol=1e-5)
    assert np.array_equal(network(X).asnumpy(), plain)  # its own graph, not that of the block
    with overlay.laid():
        assert np.array_equal(network(X).asnumpy(), inside)
    overlay.release()
    assert not [phase for phase in network.compile_cache if "mindcold" in phase]
    assert np.array_equal(network(X).asnumpy(), plain)


def test_errors_leave_the_network_as_it_was(network):
    before = state(network)
    overlay = dressed(network)
    with pytest.raises(KeyError), overlay.laid():
        raise KeyError
    assert same(state(network), before)
    overlay = Overlay(network)
    with pytest.raises(KeyError), overlay.recorded():
        network.insert_child_to_cell("second", Scaled(network.second))
        raise KeyError
    assert same(state(network), before)
    with overlay.laid():
        assert isinstance(network.second, nn.Dense)
