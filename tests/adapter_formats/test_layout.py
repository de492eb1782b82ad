"""Fused linear layers: the members' rows are where a network that splits the output looks for them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.adapter_formats.fused_pair import fused, members_of
from mindcold.adapter_formats.layout import LAYOUTS, join, row_order, sizes, split
from mindcold.adapter_formats.stored import StoredPair
from mindcold.config import parse_config
from mindcold.model.shapes import FUSED
from tests.folders import LLAMA

QKV, GATE_UP = FUSED.values()


@st.composite
def configs(draw):
    groups, heads, half = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    changes = {"num_key_value_heads": groups, "num_attention_heads": groups * heads, "head_dim": 2 * half}
    return parse_config(LLAMA | changes | {"intermediate_size": draw(st.integers(1, 9)), "hidden_size": 16}, "test")


def outputs(y, config, members, layout):
    """What a network takes for the members' outputs: MindFormers' reshape and split of the last axis of y [n, rows]."""
    attention, mlp = LAYOUTS[layout]
    n, head, groups = len(y), config.head_dim, config.num_key_value_heads
    repeats = config.num_attention_heads // groups
    if members == GATE_UP:
        if mlp:
            pairs = y.reshape(n, config.intermediate_size, 2)
            return [pairs[:, :, 0], pairs[:, :, 1]]
        return [y[:, : config.intermediate_size], y[:, config.intermediate_size :]]
    if attention:
        groups_of_heads = y.reshape(n, groups, (repeats + 2) * head)
        ends = (repeats * head, (repeats + 1) * head)
        parts = np.split(groups_of_heads, ends, axis=2)
        return [part.reshape(n, -1) for part in parts]
    queries, keys = repeats * groups * head, groups * head
    return [y[:, :queries], y[:, queries : queries + keys], y[:, queries + keys :]]


@settings(deadline=None, max_examples=60)
@given(configs(), st.sampled_from(list(LAYOUTS)), st.sampled_from([QKV, GATE_UP]), st.integers(1, 5), st.data())
def test_members_add_what_the_fused_layer_adds(config, layout, members, rank, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rows = len(row_order(config, members, layout))
    a, b = rng.standard_normal((rank, 16)).astype(np.float32), rng.standard_normal((rows, rank)).astype(np.float32)
    x = rng.standard_normal((3, 16)).astype(np.float32)
    found = members_of(StoredPair(a, b, 0.5), config, members, layout)
    for member, part in zip(members, outputs(x @ a.T @ b.T, config, members, layout), strict=True):
        assert np.allclose(x @ found[member].a.T @ found[member].b.T, part, rtol=1e-4, atol=1e-5)
        assert found[member].scaling == 0.5
    again, stacked = fused(found, config, members, layout)
    assert np.array_equal(again.a, a) and np.array_equal(again.b, b) and not stacked


@settings(deadline=None, max_examples=60)
@given(configs(), st.sampled_from(list(LAYOUTS)), st.sampled_from([QKV, GATE_UP]), st.data())
def test_pairs_with_matrices_of_their_own_are_stacked(config, layout, members, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    chosen = data.draw(st.lists(st.sampled_from(members), min_size=1, unique=True))
    chosen.sort(key=members.index)
    parts = {}
    for member, size in zip(members, sizes(config, members), strict=True):
        rank = data.draw(st.integers(1, 4))
        if member in chosen:
            pair = [rng.standard_normal(shape).astype(np.float32) for shape in ((rank, 16), (size, rank))]
            parts[member] = StoredPair(*pair, 2.0)
    whole, stacked = fused(parts, config, members, layout)
    assert stacked == (len(chosen) > 1) and whole.rank == sum(pair.rank for pair in parts.values())
    x = rng.standard_normal((3, 16)).astype(np.float32)
    for member, part in zip(members, outputs(x @ whole.a.T @ whole.b.T, config, members, layout), strict=True):
        own = x @ parts[member].a.T @ parts[member].b.T if member in parts else np.zeros_like(part)
        assert np.allclose(part, own, rtol=1e-4, atol=1e-5)
    found = members_of(whole, config, members, layout)
    assert list(found) == chosen
    for member, pair in found.items():
        assert np.array_equal(pair.a, parts[member].a) and np.array_equal(pair.b, parts[member].b)


@given(configs(), st.sampled_from([QKV, GATE_UP]), st.sampled_from(list(LAYOUTS)), st.sampled_from(list(LAYOUTS)))
def test_one_layout_is_a_permutation_of_another(config, members, first, second):
    rows = np.arange(len(row_order(config, members, first)))[:, None]
    parts = split(rows, config, members, first)
    there = join(parts, config, members, second)
    assert np.array_equal(join(split(there, config, members, second), config, members, first), rows)


def test_an_adapter_that_was_not_trained_keeps_its_rank():
    config = parse_config(LLAMA, "test")
    pair = StoredPair(np.ones((3, 32), np.float32), np.zeros((64, 3), np.float32), 1.0)
    found = members_of(pair, config, QKV, "interleaved")
    assert list(found) == list(QKV) and {part.rank for part in found.values()} == {3}
    assert members_of(pair, config, ("self_attn.o_proj",), "interleaved")["self_attn.o_proj"].rank == 3


def test_interleaved_rows_by_hand():
    config = parse_config(LLAMA | {"num_attention_heads": 4, "head_dim": 2, "intermediate_size": 3}, "test")
    expected = [0, 1, 2, 3, 8, 9, 12, 13, 4, 5, 6, 7, 10, 11, 14, 15]  # two queries, a key and a value, twice
    assert row_order(config, QKV, "interleaved").tolist() == expected
    assert row_order(config, GATE_UP, "interleaved").tolist() == [0, 3, 1, 4, 2, 5]
    for layout in ("contiguous", "contiguous-attention"):
        assert row_order(config, QKV, layout).tolist() == list(range(16))
    with pytest.raises(KeyError):
        row_order(config, QKV, "other")
