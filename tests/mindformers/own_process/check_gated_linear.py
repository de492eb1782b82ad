"""Adapters on linear layers against NumPy, and what is refused."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcold.adapter import Adapter, LoraPair
from mindcold.config import ModelConfig
from mindcold.mindformers.gated_linear import GatedLinear, GatedLinears
from mindcold.mindformers.library import MindFormersError
from mindcold.mindformers.overlay import Overlay
from tests.folders import write_model
from tests.mindformers.networks import legacy_network

RNG = np.random.default_rng(0)


class Activated(nn.Cell):
    """As MindFormers' Linear: an activation of its own."""

    def __init__(self, base):
        super().__init__()
        self.base, self.activation, self.activation_flag = base, nn.ReLU(), True

    def construct(self, x):
        y = self.base(x)
        return self.activation(y) if self.activation_flag else y


@pytest.mark.parametrize("activated", [False, True])
@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)])
def test_each_row_has_its_adapter(activated, shape):
    ms.set_context(mode=ms.GRAPH_MODE)
    inner = nn.Dense(5, 6)
    base = Activated(inner) if activated else inner
    a = RNG.standard_normal((5, 5)).astype(np.float32)
    b = RNG.standard_normal((6, 5)).astype(np.float32)
    owner = np.array([0, 0, 1, 1, 1], np.int32)
    ids = np.array([-1, 0, 1, 1, -1, 0, 1, 0, 0], np.int32)
    gated = GatedLinear(base, a, b, owner, ms.Parameter(ids, name="ids"), "test")
    if activated:
        base.activation_flag = False
    x = RNG.standard_normal(shape).astype(np.float32)
    found, plain = gated(ms.Tensor(x)).asnumpy(), inner(ms.Tensor(x)).asnumpy()
    rows = x.reshape(-1, 5)
    low = np.where(ids[: len(rows), None] == owner, rows @ a.T, 0) @ b.T
    expected = plain + low.reshape(plain.shape)
    if activated:
        expected, plain = np.maximum(expected, 0), np.maximum(plain, 0)
    assert np.abs(found - expected).max() < 1e-5
    of_base = ids[: len(rows)] < 0
    assert np.array_equal(found.reshape(-1, 6)[of_base], plain.reshape(-1, 6)[of_base])


def pair(config, out_size):
    return LoraPair(np.ones((2, config.hidden_size), np.float32), np.ones((out_size, 2), np.float32))


def test_what_has_no_place_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    config = ModelConfig.from_folder(folder)
    network = legacy_network(folder)
    head = Adapter("poet", 0, {}, {"lm_head": np.zeros((96, 32), np.float32)})
    wrong = Adapter("poet", 2, {"model.layers.7.mlp.up_proj": pair(config, 48)}, {})
    for adapter, message in ((head, "lm_head is replaced"), (wrong, "model.layers.7.mlp.up_proj")):
        with pytest.raises(MindFormersError, match=message), Overlay(network).recorded():
            GatedLinears(network, config, [adapter], 1)

    with pytest.raises(MindFormersError, match="2 of 3 layers"), Overlay(network).recorded():
        GatedLinears(network, replace(config, num_hidden_layers=3), [], 1)
    with pytest.raises(MindFormersError, match="lm_head: is split over devices"), Overlay(network).recorded():
        network.lm_head.tensor_parallel_group_size = 2
        GatedLinears(network, config, [], 1)
    assert not hasattr(network.lm_head, "tensor_parallel_group_size")

    from mindformers.pet import get_pet_model

    lora = {"pet_type": "lora", "lora_rank": 2, "lora_alpha": 4, "target_modules": ".*wq"}
    carrying = get_pet_model(network, lora)
    with pytest.raises(MindFormersError, match="has LoRA of mindpet inside"), Overlay(carrying).recorded():
        GatedLinears(carrying, config, [], 1)
