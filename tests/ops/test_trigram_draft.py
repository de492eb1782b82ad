"""trigram_draft: the C++ body is the contract to the bit, the contract does what it says, memory stays bounded."""

import copy
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.drafting.trigram import TrigramTables
from mindcold.ops import trigram_draft
from mindcold.ops.trigram_draft import mcts
from mindcold.ops.trigram_draft.bodies import CppTrigram, PythonTrigram
from mindcold.ops.trigram_draft.recall import calibrate, matches, recall
from mindcold.ops.trigram_draft.reference import best_first, likeliest
from mindcold.ops.trigram_draft.table import Table, distribution, find, increment, last_tokens, update

ENDS = ([0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4], [1, 2], [3], [], [5] * 9, [1, 2, 3, 4] * 70 + [1, 2, 0, 3, 1, 2])
texts = st.lists(st.lists(st.integers(0, 9), min_size=0, max_size=60), min_size=1, max_size=4)


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("keys", "tokens", "weights", "recalls")
    )


@settings(deadline=None)
@given(texts, st.sampled_from([1, 2, 7, 64]), st.integers(1, 20), st.integers(1, 6))
def test_cpp_equals_the_contract(found, buckets, budget, depth):
    """Small tables overflow all the time, so evictions are compared too."""
    tables = {body: [Table.empty(buckets), Table.empty(buckets)] for body in (CppTrigram, PythonTrigram)}
    trees = {}
    for body, (shared, own) in tables.items():
        run = body()
        for i, ids in enumerate(found):
            run.update((shared, own)[i % 2], ids, min(i, len(ids)), 0.04, 0.1, 1.0 if i % 3 else 0.9)
            run.calibrate(shared, own, ids, min(i, len(ids)))
        trees[body] = [run.draft(shared, own, [*ids, *end], budget, depth, 1e-3) for end in ENDS for ids in found]
        trees[body] += [run.likeliest(shared, own, [*ids, *end], depth, 0.02) for end in ENDS for ids in found]
        trees[body] += [run.search(shared, own, last_tokens(end, len(end))[-2:], budget) for end in ENDS]
    for mine, its in zip(*tables.values(), strict=True):
        assert same(mine, its)
    assert trees[CppTrigram] == trees[PythonTrigram]


@settings(deadline=None)
@given(texts, st.integers(1, 30), st.integers(1, 6))
def test_a_tree_is_a_tree(found, budget, depth):
    table = Table.empty(64)
    body = trigram_draft.body()
    for ids in found:
        body.update(table, ids, 0, 0.24, 3.0)
    tokens, parents, probabilities = body.draft(table, Table.empty(4), [0, 1, 2], budget, depth, 1e-3)
    assert len(tokens) == len(parents) == len(probabilities) <= budget
    assert all(-1 <= parent < i for i, parent in enumerate(parents))
    assert len(set(zip(parents, tokens, strict=True))) == len(tokens)  # siblings differ
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(probabilities[i] <= probabilities[parent] for i, parent in enumerate(parents) if parent >= 0)
    levels = []
    for parent in parents:
        levels.append(1 if parent < 0 else levels[parent] + 1)
    assert max(levels, default=0) <= depth
    # best first is optimal: no smaller budget's tree holds a node that this one lacks
    assert (
        body.draft(table, Table.empty(4), [0, 1, 2], max(1, budget // 2), depth, 1e-3)[0]
        == tokens[: max(1, budget // 2)]
    )


def test_shares_by_hand():
    table = Table.empty(64)
    for token, count in ((7, 3), (8, 1)):
        for _ in range(count):
            increment(table, (1, 2), token, 0.25, 3.0)
    increment(table, (-1, 2), 9, 0.25, 3.0)
    found = distribution([table], last_tokens([1, 2], 2))
    # trigrams weigh 1, so 4/5 is theirs; the bigram weighs 1/4 and gets half of the rest
    assert np.isclose(found[7], 0.8 * 0.75) and np.isclose(found[8], 0.8 * 0.25) and np.isclose(found[9], 0.1)
    assert best_first([table], [1, 2], 2, 4, 0.0)[:2] == ([7, 8], [-1, -1])


def test_weights_grow_in_steps_up_to_the_cap():
    table = Table.empty(8)
    for _ in range(80):
        increment(table, (1, 2), 3, 0.04, 3.0)
    place = find(table, (1, 2))
    assert table.weights[place].max() == 3.0
    increment(table, (1, 2), 4, 0.04, 3.0)
    assert np.isclose(table.weights[place][1], 0.04)


def test_a_million_updates_stay_in_the_same_memory_and_evict_the_lowest_weights():
    table = Table.empty(32)
    arrays = table.keys, table.tokens, table.weights
    body, rng = trigram_draft.body(), np.random.default_rng(0)
    for _ in range(100):
        body.update(table, rng.integers(0, 5000, 3400), 0, 0.04, 3.0)
        body.update(table, [1, 2, 3] * 30, 0, 0.24, 3.0)  # what comes again and again
    assert all(mine is its for mine, its in zip(arrays, (table.keys, table.tokens, table.weights), strict=True))
    assert table.weights.max() <= 3.0 and table.weights.min() >= 0
    assert body.draft(table, Table.empty(1), [1, 2], 1, 1, 0.0)[0] == [3]


def test_a_prompt_of_one_token_or_none_is_learned():
    for ids in ([], [4], [4, 5]):
        mine, its = Table.empty(4), Table.empty(4)
        CppTrigram().update(mine, ids, 0, 0.04, 3.0)
        PythonTrigram().update(its, ids, 0, 0.04, 3.0)
        assert same(mine, its) and same(copy.deepcopy(mine), its)


@pytest.mark.parametrize(
    ("total", "visits", "prior", "above", "expected"),
    [(3, 3, 0.5, 10, 13.99103), (1, 1, 0.1, 10, 6.19641), (60, 50, 0.25, 150, 3.30065)],
)
def test_puct_by_the_published_numbers(total, visits, prior, above, expected):
    child, parent = mcts.Node(0, 0, 0, 2, prior, visits, total), mcts.Node(0, 0, -1, 1, 1.0, above)
    assert mcts.puct(child, parent) == pytest.approx(expected, abs=1e-5)
    assert mcts.puct(mcts.Node(0, 0, 0, 2, prior), parent) == float("inf")


def test_the_published_search_finds_the_likely_path_and_keeps_to_its_depth():
    table = Table.empty(64)
    for _ in range(9):
        update(table, [1, 2, 3, 4, 5, 6, 7], 0, 0.04, 3.0)
    update(table, [1, 2, 9, 9], 0, 0.04, 3.0)
    tokens, parents, probabilities = mcts.mcts([table], 1, 2, 20)
    assert tokens[:4] == [3, 4, 5, 6] and parents[:4] == [-1, 0, 1, 2] and 9 in tokens
    assert 7 not in tokens and probabilities == sorted(probabilities, reverse=True)  # four tokens deep at most
    assert mcts.mcts([table], 1, 2, 20) == (tokens, parents, probabilities)
    assert mcts.mcts([Table.empty(4)], 1, 2, 20) == ([], [], [])
    assert mcts.mcts([table], 1, 2, 2)[0] == [3, 4]


def test_what_is_no_longer_seen_fades():
    table = Table.empty(8)
    for _ in range(40):
        increment(table, (1, 2), 3, 0.24, 3.0, 0.9)
    for _ in range(8):
        increment(table, (1, 2), 4, 0.24, 3.0, 0.9)
    assert best_first([table], [1, 2], 1, 1, 0.0)[0] == [4]
    assert table.weights.max() < 2.4  # 0.24 / (1 - 0.9)


def test_long_contexts_come_first():
    table = Table.empty(64)
    for _ in range(5):
        update(table, [1, 2, 8, 9, 30], 0, 0.24, 3.0)
    for _ in range(50):
        update(table, [3, 4, 8, 9, 31], 0, 0.24, 3.0)
    assert best_first([table], [1, 2, 8, 9], 1, 1, 0.0)[0] == [30]
    assert best_first([table], [7, 7, 8, 9], 1, 1, 0.0)[0] == [31]
    for _ in range(5):
        update(table, [1, 1, 1, 1, 1, 2, 8, 9, 32], 0, 0.24, 3.0)
    assert best_first([table], (1, 1, 1, 1, 1, 2, 8, 9), 1, 1, 0.0)[0] == [32]
    assert best_first([table], (7, 7, 7, 7, 3, 4, 8, 9), 1, 1, 0.0)[0] == [31]


def test_shorter_contexts_are_not_asked_for_what_is_not_left():
    table = Table.empty(64)
    increment(table, (1, 2), 7, 0.25, 3.0)
    increment(table, (-1, 2), 9, 0.25, 3.0)
    assert set(distribution([table], last_tokens([1, 2], 2), 0.5)) == {7, 9}
    assert set(distribution([table], last_tokens([1, 2], 2), 0.51)) == {7}


@given(st.lists(st.integers(0, 3), max_size=40))
def test_matches_are_the_longest_and_the_most_recent(ids):
    agree, found = matches(ids)
    lengths = {}
    for place in range(len(ids) - 1):
        length = 0
        while length < 8 and length <= place and ids[place - length] == ids[len(ids) - 1 - length]:
            length += 1
        lengths[place] = length
    assert agree == max(lengths.values(), default=0)
    followers = [ids[place + 1] for place in sorted(lengths, reverse=True) if agree and lengths[place] == agree]
    assert found == list(dict.fromkeys(followers))[:3]


def test_matches_look_no_further_than_the_window():
    assert matches([7, 8, *[1] * 254, 7]) == (1, [8])
    assert matches([7, 8, *[1] * 255, 7]) == (0, [])


def test_a_recall_is_believed_as_often_as_it_was_right():
    table = Table.empty(4)
    assert recall(table, [1, 2, 3], {5: 0.4}) == {5: 0.4}  # nothing like it before
    text = [1, 2, 9, 1, 2]
    table.recalls[1, 0, 0] = 30, 40  # two tokens agree, the contexts know nothing of the 9
    found = recall(table, text, {5: 0.4, 6: 0.2})
    assert found[9] == 0.75 and np.isclose(found[5], 0.1) and np.isclose(found[6], 0.05)
    table.recalls[1, 0, 3] = 9, 10
    assert np.isclose(recall(table, text, {9: 0.2, 5: 0.4})[9], 0.9)
    calibrate([Table.empty(4), table], [*text, 9], 5)
    assert np.allclose(table.recalls[1, 0, 0], (30 * 0.99 + 1, 40 * 0.99 + 1))
    calibrate([Table.empty(4), table], [*text, 4], 5)
    assert np.allclose(table.recalls[1, 0, 0], ((30 * 0.99 + 1) * 0.99, (40 * 0.99 + 1) * 0.99 + 1))


def test_shares_of_recalls_add_up_to_one_at_most():
    table = Table.empty(4)
    table.recalls[:] = 8, 10
    found = recall(table, [1, 2, 9, 1, 2, 8, 1, 2], {5: 0.5, 8: 0.5})
    assert np.isclose(sum(found.values()), 1.0) and np.isclose(found[8], 0.5) and np.isclose(found[9], 0.5)


def test_what_is_copied_is_soon_foreseen():
    """Random texts said twice: how much of the second time is believed grows until whole paths are drafted."""
    rng, shared, own = np.random.default_rng(0), Table.empty(16), Table.empty(16)
    body, probabilities = trigram_draft.body(), []
    for _ in range(12):
        text = rng.integers(10, 2000, 30).tolist() * 2
        tokens, parents, found = body.draft(shared, own, text[:35], 6, 8, 1e-5)
        assert tokens == text[35:41] and parents == [-1, 0, 1, 2, 3, 4]
        probabilities.append(found[-1])
        body.calibrate(shared, own, text, 1)
    assert probabilities[0] < 0.05 and probabilities[-1] > 0.6


def test_the_likeliest_path_is_the_greedy_one():
    table = Table.empty(64)
    for _ in range(9):
        update(table, [1, 2, 3, 4, 5], 0, 0.24, 3.0)
    update(table, [1, 2, 6], 0, 0.24, 3.0)
    assert likeliest([table], [1, 2], 3, 0.0) == [3, 4, 5]
    assert likeliest([table], [1, 2], 2, 0.0) == [3, 4]
    assert likeliest([table], [1, 2], 3, 0.99) == []
    tokens, _, probabilities = best_first([table], [1, 2], 1, 1, 0.0)
    assert (
        likeliest([table], [1, 2], 1, 0.5 * probabilities[0]) == tokens
        and likeliest([table], [1, 2], 1, probabilities[0] + 1e-9) == []
    )
    assert likeliest([Table.empty(4)], [1, 2], 3, 0.0) == []


def test_an_evicted_table_is_freed():
    tables = TrigramTables(100, buckets=4, limit=2, backend="aot")
    tables.body.draft(tables.shared, tables.own("first"), [1, 2], 4, 2, 1e-3)
    first = weakref.ref(tables.own("first").weights)
    for name in ("second", "third"):
        tables.body.draft(tables.shared, tables.own(name), [1, 2], 4, 2, 1e-3)
    gc.collect()
    assert first() is None


MANY = """
import sys

import psutil

from mindcold.drafting.trigram import TrigramTables

tables = TrigramTables(100, limit=8, memory=8)
for number in range(int(sys.argv[1])):
    own = tables.own(str(number))
    for name in ("keys", "tokens", "weights"):
        getattr(own, name)[:] = getattr(own, name)  # so that the system has to find memory for them
    tables.body.update(own, [1, 2, 3, 4], 0, 0.24, 3.0)
print(psutil.Process().memory_info().rss)
"""


def test_tables_beyond_the_limit_do_not_stay():
    few, many = (
        int(subprocess.run([sys.executable, "-c", MANY, count], capture_output=True, text=True, timeout=120).stdout)
        for count in ("9", "40")
    )
    assert many < few + 100e6  # 31 tables of 8 MB are gone; the allocator keeps some of what it got


def test_a_copied_table_is_a_table_of_its_own():
    body, table = CppTrigram(), Table.empty(4)
    body.update(table, [1, 2, 3], 0, 0.24, 3.0)
    other = copy.deepcopy(table)
    body.update(other, [1, 2, 3], 0, 0.24, 3.0)
    assert table.weights.max() == np.float32(0.24) and other.weights.max() > 0.4
