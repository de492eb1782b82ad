"""A network with a cache of its own: the engine takes its logits, and its pool only says which slots are whose."""

import mindspore as ms
import numpy as np
import pytest

from mindcold.drafting import Draft
from mindcold.engine import Engine, HostCache, StepPlan
from mindcold.errors import RequestError
from mindcold.ops.rows import Row


class HostFactory:
    """A network whose token after t is t + 1, with a cache of two pages."""

    vocab_size, weight_bytes = 32, 0
    adapters: tuple = ()

    class cache_shape:
        num_hidden_layers, num_key_value_heads, head_dim = 1, 1, 2

    def __init__(self, **cache):
        self.host_cache, self.calls = HostCache(**cache), []

    cache_dtype = ms.float32

    def renew(self, network, caches):
        return False

    def build(self, caches):
        assert caches == []
        return self

    def __call__(self, rows, take):
        self.calls.append((rows, take))
        numbers = np.arange(32)[None]
        return ms.Tensor((numbers == (rows[Row.TOKEN][take][:, None] + 1) % 32).astype(np.float32))


def test_logits_come_from_outside_the_graph():
    factory = HostFactory(page=8, slots=16, branches=False)
    engine = Engine(factory)
    engine.reserve(16)
    (sequence, plan) = engine.open([-1], 10), StepPlan()
    plan.extend(sequence, [4, 5], draft=[6, 9], parents=[-1, 0])
    for row, token, parent in ((1, -1, -1), (2, 6, 0), (3, 9, 1)):
        plan.score([row], token=token, parent=parent)
    out = engine.run(plan)
    assert out.tokens[:3] == [6, 7, 10] and out.accepted[:3] == [1, -1, -1]
    rows, take = factory.calls[-1]
    assert list(rows[Row.SLOT, :4]) == [0, 1, 2, 3] and list(take[:3]) == [1, 2, 3]
    assert engine.logits(plan).argmax(-1).tolist() == [5, 6, 7, 10]


def test_segments_take_whole_pages_of_a_bounded_cache():
    engine = Engine(HostFactory(page=8, slots=24))
    with pytest.raises(RequestError, match="24 slots"):
        engine.reserve(25)
    engine.reserve(17)
    first, second = engine.open([-1], 3), engine.open([-1], 9)
    assert [item.streams[0].start for item in (first, second)] == [0, 8] and engine.used_slots == 24
    assert engine.open([-1], 1) is None and not engine.has_room(1)
    first.close()
    assert engine.open([-1], 8).streams[0].start == 0


def test_an_unbounded_cache_grows_without_new_graphs():
    engine = Engine(HostFactory())
    engine.reserve(10)
    sequence, plan = engine.open([-1], 10), StepPlan()
    plan.score(plan.extend(sequence, [4]))
    engine.run(plan)
    engine.reserve(5000)
    assert engine.used_slots == 10 and engine.run(plan).seconds is not None


def test_what_does_not_branch_says_so():
    engine = Engine(HostFactory(branches=False))
    engine.reserve(100)
    first, second = engine.open([-1], 10), engine.open([-1], 10)
    assert not engine.branches
    with pytest.raises(AssertionError):
        second.share(first)


def test_the_likeliest_path_of_a_tree():
    tree = Draft([5, 6, 7, 8, 9], [-1, -1, 0, 2, 1], [0.6, 0.4, 0.3, 0.2, 0.1])
    assert tree.likeliest() == Draft([5, 7, 8], [-1, 0, 1], [0.6, 0.3, 0.2])
    assert Draft().likeliest() == Draft()
