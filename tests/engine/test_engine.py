"""Sequences on one engine: shared prefixes, moves, growth; bits do not depend on where keys and values lie."""

import mindspore as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mindspore import nn, ops

import mindcold
from mindcold.engine import Engine, StepPlan, runtime
from mindcold.engine.step_plan import MAX_ROWS
from mindcold.errors import RequestError
from tests.folders import load_random, write_model


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_random(tmp_path_factory.mktemp("engine"), seed=1)


@pytest.fixture(scope="module")
def engine(llm):
    llm.engine.reserve(3000)
    return llm.engine


def scored(sequence, tokens):
    """A plan that feeds tokens and scores the last."""
    plan = StepPlan()
    plan.score(plan.extend(sequence, tokens))
    return plan


def feed(engine, sequence, tokens):
    """Logits after each token, which become part of the sequence."""
    plan = StepPlan()
    plan.extend(sequence, tokens)
    out = engine.logits(plan)
    sequence.commit(len(tokens))
    return out


def test_a_branch_shares_its_prefix(llm, engine):
    """Branches of branches too; the bits are those of one sequence."""
    whole = llm.logits([5, 9, 33, 7, 8, 41, 2, 3])
    main, branch, twig = (engine.open([0], size) for size in (8, 4, 2))
    np.testing.assert_array_equal(feed(engine, main, [5, 9, 33]), whole[:3])
    branch.share(main)
    np.testing.assert_array_equal(feed(engine, branch, [7, 8]), whole[3:5])
    twig.share(branch)
    np.testing.assert_array_equal(feed(engine, twig, [41]), whole[5:6])
    np.testing.assert_array_equal(feed(engine, main, [7]), whole[3:4])  # the leader goes on by itself
    np.testing.assert_array_equal(feed(engine, twig, [2]), whole[6:7])
    for sequence in (main, branch, twig):
        sequence.close()
    assert engine.used_slots == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 95), min_size=1, max_size=24), st.data())
def test_an_accepted_path_is_what_plain_feeding_writes(llm, engine, tokens, data):
    """A chain with wrong siblings between its nodes; what is accepted moves together."""
    expected = llm.logits([5, *tokens, 7])[-1]
    draft, parents, path = [], [], []
    for token in tokens:
        for _ in range(data.draw(st.integers(0, 2))):
            draft.append((token + 1) % 96)
            parents.append(path[-1] if path else -1)
        parents.append(path[-1] if path else -1)
        path.append(len(draft))
        draft.append(token)
    sequence, plan = engine.open([0], 200), StepPlan()  # after the draws, which may end the example
    plan.extend(sequence, [5], draft, parents)
    engine.logits(plan)
    sequence.commit(1)
    sequence.accept(path)
    plan = StepPlan()
    plan.score(plan.extend(sequence, [7]))
    assert engine.run(plan).tokens[0] == expected.argmax() and not engine._moves
    np.testing.assert_array_equal(feed(engine, sequence, [7])[0], expected)
    sequence.close()


@pytest.mark.parametrize("kind", ["logits", "run"])
def test_more_moves_than_a_step_can_take(llm, engine, kind):
    """Several copies of a long sequence: each goes on as the original would."""
    tokens = [(7 * i) % 96 for i in range(200)]
    expected = llm.logits([*tokens, 5])[-1]
    source, targets = engine.open([0], 300), [engine.open([0], 300) for _ in range(4)]
    for i in range(0, 200, 50):
        feed(engine, source, tokens[i : i + 50])
    for target in targets:
        target.copy(source, 0)
    assert len(engine._moves) == 800 > 3 * MAX_ROWS
    if kind == "run":  # the last copies are the last to be made
        assert engine.run(scored(targets[-1], [5])).tokens[0] == expected.argmax() and not engine._moves
    for target in targets:
        np.testing.assert_array_equal(feed(engine, target, [5])[0], expected)
    assert not engine._moves
    for sequence in (source, *targets):
        sequence.close()


def test_a_closed_sequence_is_not_written_to(engine):
    first, second = engine.open([0], 20), engine.open([0], 20)
    feed(engine, first, [1, 2, 3])
    second.copy(first, 0)
    second.close()
    assert not engine._moves
    first.close()


def test_a_copy_of_a_beginning_goes_on_as_the_whole(engine):
    ids = [5, 9, 33, 7, 12, 40]
    source, other = engine.open([0], 20), engine.open([0], 20)
    feed(engine, source, ids)
    expected = feed(engine, source, [8, 3])
    other.copy_beginning(source, 4)
    source.close()
    taken, plan = engine.open([0], 20), StepPlan()  # of the slots that are read, and written to in the same step
    plan.extend(taken, [1, 2, 3, 4, 5, 6])
    plan.extend(other, [*ids[4:], 8, 3])
    np.testing.assert_array_equal(engine.logits(plan)[-2:], expected)
    for sequence in (taken, other):
        sequence.close()
    assert engine.used_slots == 0


def test_a_sequence_gives_back_what_it_holds_no_longer(engine):
    first = engine.open([0], 20)
    feed(engine, first, [1, 2, 3])
    first.accept([1, 3])  # moved at the start of the next step
    first.shrink(3)
    assert engine.used_slots == first.length == 3 and not engine._moves
    first.close()


def test_the_pool_grows_under_open_sequences(tmp_path):
    llm = mindcold.load(write_model(tmp_path / "model", seed=2))
    engine, expected = llm.engine, llm.logits([5, 9, 33, 7])
    main, branch = engine.open([-1], 10), engine.open([-1], 4)
    feed(engine, main, [5, 9, 33])
    branch.share(main)
    engine.reserve(5000)
    np.testing.assert_array_equal(feed(engine, branch, [7])[0], expected[3])


def test_opening_is_all_or_nothing(engine):
    size = 2 * engine._pool.slots // 3
    assert engine.used_slots == 0 and engine.open([0, -1], size) is None  # room for one of its streams
    assert engine.used_slots == 0
    sequence = engine.open([0], size)
    assert engine.used_slots == size and engine.open([0], size) is None
    sequence.close()
    assert engine.used_slots == 0


class Counting(nn.Cell):
    """A network of another kind: the token after t is t + 1."""

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.gather, self.size = ops.Gather(), 32

    def construct(self, rows, take):
        token = self.gather(rows[0], ops.maximum(take, 0), 0)
        numbers = ops.arange(0, self.size).reshape(1, -1)
        return ops.cast(numbers == (token.reshape(-1, 1) + 1) % self.size, ms.float32)


class CountingFactory:
    """What an engine has to know of it."""

    vocab_size, weight_bytes, host_cache = 32, 0, None

    class cache_shape:
        num_hidden_layers, num_key_value_heads, head_dim = 1, 1, 2

    def __init__(self):
        self.adapters = []

    cache_dtype = ms.float32

    def renew(self, network, caches):
        return False

    def build(self, caches):
        assert len(caches) == 1 and caches[0][0].shape[1:] == (1, 2)
        return Counting()


def test_the_network_comes_from_a_factory():
    engine = Engine(CountingFactory())
    engine.reserve(100)
    sequence, plan = engine.open([-1], 10), StepPlan()
    plan.extend(sequence, [4, 5], draft=[6, 9, 7], parents=[-1, -1, 0])
    for row in range(1, 5):
        plan.score([row], token=[-1, 6, 9, 7][row - 1], parent=[-1, 0, 0, 1][row - 1])
    out = engine.run(plan)
    assert out.tokens[:4] == [6, 7, 10, 8] and out.accepted[:4] == [1, 3, -1, -1]


@pytest.mark.parametrize("kind", ["logits", "run"])
def test_a_step_that_fails_changes_nothing(engine, kind, monkeypatch):
    first, second = engine.open([0], 20), engine.open([0], 20)
    feed(engine, first, [1, 2, 3])
    second.copy(first, 0)
    before = list(engine._moves)

    def broken(*_):
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "_graph", broken)
        with pytest.raises(RuntimeError):
            getattr(engine, kind)(scored(second, [4]))
    assert engine._moves == before != []
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({}, []),
        ({"DEVICE_ID": "3"}, [("Ascend", 3)]),
        ({"ASCEND_DEVICE_ID": "5", "DEVICE_ID": "0"}, [("Ascend", 5)]),
    ],
)
def test_a_process_takes_its_own_device(monkeypatch, variables, chosen):
    """Emulated: no Ascend was at hand."""
    calls = []
    for name in ("ASCEND_DEVICE_ID", "DEVICE_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runtime.ms, "set_device", lambda *arguments: calls.append(arguments))
    runtime.choose_device()
    assert not calls  # on CPU there is nothing to choose
    monkeypatch.setattr(runtime.ms, "get_context", lambda name: "Ascend")
    runtime.choose_device()
    assert calls == chosen
    monkeypatch.setenv("ASCEND_DEVICE_ID", "x")
    with pytest.raises(RequestError, match="ASCEND_DEVICE_ID"):
        runtime.choose_device()


@pytest.mark.parametrize("moved", [False, True])
def test_a_sequence_goes_on_in_another_engine(llm, engine, moved):
    """Of the same weights the bits are those of one sequence: shared beginnings and moves that are to come included."""
    whole = llm.logits([5, 9, 33, 7, 8, 41, 2, 3])
    other = engine.lowered("float32")
    for adapter in llm.engine.adapters:
        other.add_adapter(adapter)
    other.reserve(64)
    main, branch, away, room = engine.open([0], 4), engine.open([0], 8), other.open([0], 9), other.open([-1], 3)
    feed(engine, main, [5, 9, 33])
    branch.share(main)
    if moved:
        plan = StepPlan()
        plan.extend(branch, [7], [1, 8, 4, 41], [-1, -1, 1, 1])
        engine.logits(plan)
        branch.commit(1)
        branch.accept([1, 3])
        assert engine._moves
    else:
        feed(engine, branch, [7, 8, 41])
    branch.pending = [2]
    away.adopt(branch)
    assert away.length == 6 and away.pending == [2]
    np.testing.assert_array_equal(feed(other, away, [2, 3]), whole[6:])
    np.testing.assert_array_equal(feed(engine, branch, [2, 3]), whole[6:])  # the other goes on as well
    for sequence in (main, branch, away, room):
        sequence.close()
