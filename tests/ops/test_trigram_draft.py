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
from mindcold.ops.trigram_draft.bodies import CppTrigram, PythonTrigram, Verified
from mindcold.ops.trigram_draft.recall import TextIndex, recall, remember
from mindcold.ops.trigram_draft.reference import best_first, likeliest
from mindcold.ops.trigram_draft.said import MIX, absorb, believe, log_odds, said_keys
from mindcold.ops.trigram_draft.table import Table, distribution, find, increment, last_tokens, update

ENDS = ([0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4], [1, 2], [3], [], [5] * 9, [1, 2, 3, 4] * 70 + [1, 2, 0, 3, 1, 2])
texts = st.lists(st.lists(st.integers(0, 9), min_size=0, max_size=60), min_size=1, max_size=4)


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("keys", "tokens", "weights", "recalls")
    )


def rows_after(ids, seed, nodes=3, k=3):
    """A draft tree and what a model says of each row of it; some tokens are missing, some improbable."""
    rng = np.random.default_rng([seed, len(ids)])
    parents = [int(rng.integers(-1, i)) if i else -1 for i in range(nodes)]
    logs = np.log(rng.dirichlet(np.ones(k) / 3, nodes + 1).clip(1e-12)).astype(np.float32)
    return Verified(rng.integers(0, 9, nodes).tolist(), parents, rng.integers(-1, 9, (nodes + 1, k), np.int32), logs)


@settings(deadline=None)
@given(texts, st.sampled_from([1, 2, 7, 64]), st.integers(1, 20), st.integers(1, 6), st.sampled_from([3, 20, 1000]))
def test_cpp_equals_the_contract(found, buckets, budget, depth, limit):
    """Small tables and indices overflow all the time, so evictions are compared too."""
    tables = {body: [Table.empty(buckets), Table.empty(buckets)] for body in (CppTrigram, PythonTrigram)}
    trees = {}
    for body, (shared, own) in tables.items():
        run = body()
        index = run.index(limit)
        for i, ids in enumerate(found):
            run.update((shared, own)[i % 2], ids, min(i, len(ids)), 0.04, 0.1, 1.0 if i % 3 else 0.9)
            run.remember(shared, own, index, ids, min(i, len(ids)))
            run.absorb(own, ids, rows_after(ids, i))
        given_to = shared, own, index
        trees[body] = [run.draft(*given_to, [*ids, *end], budget, depth, 1e-3) for end in ENDS for ids in found]
        trees[body] += [run.likeliest(*given_to, [*ids, *end], depth, 0.02) for end in ENDS for ids in found]
        trees[body] += [run.search(shared, own, last_tokens(end, len(end))[-2:], budget) for end in ENDS]
    for mine, its in zip(*tables.values(), strict=True):
        assert same(mine, its)
    assert trees[CppTrigram] == trees[PythonTrigram]


@settings(deadline=None)
@given(texts, st.integers(1, 30), st.integers(1, 6))
def test_a_tree_is_a_tree(found, budget, depth):
    table = Table.empty(64)
    body = trigram_draft.body()
    own, index = Table.empty(16), body.index()
    for i, ids in enumerate(found):
        body.update(table, ids, 0, 0.24, 3.0)
        body.remember(table, own, index, ids, 0)
        body.absorb(own, ids, rows_after(ids, i))
    tokens, parents, probabilities = body.draft(table, own, index, [0, 1, 2], budget, depth, 1e-3)
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
    half = max(1, budget // 2)
    assert body.draft(table, own, index, [0, 1, 2], half, depth, 1e-3)[0] == tokens[:half]


def test_shares_by_hand():
    table = Table.empty(64)
    for token, count in ((7, 3), (8, 1)):
        for _ in range(count):
            increment(table, (1, 2), token, 0.25, 3.0)
    increment(table, (-1, 2), 9, 0.25, 3.0)
    found = distribution([table], last_tokens([1, 2], 2))
    # trigrams weigh 1, so 4/5 is theirs; the bigram weighs 1/4 and gets half of the rest
    assert np.isclose(found[7], 0.8 * 0.75) and np.isclose(found[8], 0.8 * 0.25) and np.isclose(found[9], 0.1)
    assert best_first([table], TextIndex(), [1, 2], 2, 4, 0.0)[:2] == ([7, 8], [-1, -1])


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
    assert body.draft(table, Table.empty(1), body.index(), [1, 2], 1, 1, 0.0)[0] == [3]


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
    assert best_first([table], TextIndex(), [1, 2], 1, 1, 0.0)[0] == [4]
    assert table.weights.max() < 2.4  # 0.24 / (1 - 0.9)


def test_long_contexts_come_first():
    table = Table.empty(64)
    for _ in range(5):
        update(table, [1, 2, 8, 9, 30], 0, 0.24, 3.0)
    for _ in range(50):
        update(table, [3, 4, 8, 9, 31], 0, 0.24, 3.0)
    assert best_first([table], TextIndex(), [1, 2, 8, 9], 1, 1, 0.0)[0] == [30]
    assert best_first([table], TextIndex(), [7, 7, 8, 9], 1, 1, 0.0)[0] == [31]
    for _ in range(5):
        update(table, [1, 1, 1, 1, 1, 2, 8, 9, 32], 0, 0.24, 3.0)
    assert best_first([table], TextIndex(), (1, 1, 1, 1, 1, 2, 8, 9), 1, 1, 0.0)[0] == [32]
    assert best_first([table], TextIndex(), (7, 7, 7, 7, 3, 4, 8, 9), 1, 1, 0.0)[0] == [31]


def naive_matches(ids, path):
    """The longest run of last tokens of a text and a path that is in the text with a follower, and its followers."""
    whole, lengths = [*ids, *path], {}
    for place in range(len(ids) - 1):
        length = 0
        while length < 8 and length <= place and ids[place - length] == whole[len(whole) - 1 - length]:
            length += 1
        lengths[place] = length
    agree = max(lengths.values(), default=0)
    followers = [ids[place + 1] for place in sorted(lengths, reverse=True) if agree and lengths[place] == agree]
    return agree, list(dict.fromkeys(followers))[:3]


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(0, 4), max_size=9), st.integers(1, 7))
def test_matches_are_those_of_a_naive_search(ids, path, chunk):
    """However a text came in, in pieces of any size, and for any path after it."""
    index, table = TextIndex(), Table.empty(1)
    for start in range(0, len(ids), chunk):
        remember([table], index, ids[: start + chunk], start)
    if ids or path:
        assert index.matches([*ids, *path]) == (naive_matches(ids, path) if [*ids, *path] else (0, []))


def test_matches_reach_over_the_whole_text_and_memory_is_bounded():
    rng, index = np.random.default_rng(0), TextIndex(limit=5000)
    text = [7, 8, *rng.integers(10, 10**6, 3000).tolist(), 7]
    remember([Table.empty(1)], index, text, 0)
    assert index.matches(text) == (1, [8]) and len(index.followers) == 5000
    index.add([5, 6], 1)  # a new run finds no place, a known one learns
    index.add([7, 9], 1)
    assert index.matches([5]) == (0, []) and index.matches([7]) == (1, [9, 8])


def test_a_long_text_is_remembered_in_a_time_that_grows_with_it():
    body, table, index = CppTrigram(), Table.empty(64), CppTrigram().index(2000)
    text = np.random.default_rng(0).integers(0, 50, 5000).tolist()
    for start in range(0, 5000, 100):
        body.remember(table, table, index, text[: start + 100], start)
    same_index = TextIndex(limit=2000)
    remember([copy.deepcopy(table)], same_index, text, 0)
    for end in range(4000, 4100):
        mine = body.draft(Table.empty(1), table, index, text[:end], 3, 1, 0.0)[0]
        assert set(same_index.matches(text[:end])[1]) <= set(mine)


def test_a_recall_is_believed_as_often_as_it_was_right():
    table, index = Table.empty(4), TextIndex()
    assert recall(table, index, [1, 2, 3], {5: 0.4}) == {5: 0.4}  # nothing like it before
    text = [1, 2, 9, 1, 2]
    remember([Table.empty(4)], index, text, 0)
    table.recalls[1, 0, 0] = 30, 40  # two tokens agree, the contexts know nothing of the 9
    found = recall(table, index, text, {5: 0.4, 6: 0.2})
    assert found[9] == 0.75 and np.isclose(found[5], 0.1) and np.isclose(found[6], 0.05)
    table.recalls[1, 0, 3] = 9, 10
    assert np.isclose(recall(table, index, text, {9: 0.2, 5: 0.4})[9], 0.9)
    remember([Table.empty(4), table], copy.deepcopy(index), [*text, 9], 5)
    assert np.allclose(table.recalls[1, 0, 0], (30 * 0.99 + 1, 40 * 0.99 + 1))
    remember([Table.empty(4), table], index, [*text, 4], 5)
    assert np.allclose(table.recalls[1, 0, 0], ((30 * 0.99 + 1) * 0.99, (40 * 0.99 + 1) * 0.99 + 1))


def test_shares_of_recalls_add_up_to_one_at_most():
    table = Table.empty(4)
    table.recalls[:] = 8, 10
    text, index = [1, 2, 9, 1, 2, 8, 1, 2], TextIndex()
    remember([Table.empty(4)], index, text, 0)
    found = recall(table, index, text, {5: 0.5, 8: 0.5})
    assert np.isclose(sum(found.values()), 1.0) and np.isclose(found[8], 0.5) and np.isclose(found[9], 0.5)


def test_what_is_copied_is_soon_foreseen():
    """Random texts said twice: how much of the second time is believed grows until whole paths are drafted."""
    rng, shared, own = np.random.default_rng(0), Table.empty(16), Table.empty(16)
    body, probabilities = trigram_draft.body(), []
    for _ in range(12):
        text = rng.integers(10, 2000, 30).tolist() * 2
        index = body.index()
        body.remember(shared, own, index, text[:35], 0)
        tokens, parents, found = body.draft(shared, own, index, text[:35], 6, 8, 1e-9)
        assert tokens == text[35:41] and parents == [-1, 0, 1, 2, 3, 4]
        probabilities.append(found[-1])
        body.remember(shared, own, index, text, 35)
    assert probabilities[0] < 0.05 and probabilities[-1] > 0.45


def test_the_likeliest_path_is_the_greedy_one():
    table = Table.empty(64)
    for _ in range(9):
        update(table, [1, 2, 3, 4, 5], 0, 0.24, 3.0)
    update(table, [1, 2, 6], 0, 0.24, 3.0)
    assert likeliest([table], TextIndex(), [1, 2], 3, 0.0) == [3, 4, 5]
    assert likeliest([table], TextIndex(), [1, 2], 2, 0.0) == [3, 4]
    assert likeliest([table], TextIndex(), [1, 2], 3, 0.99) == []
    tokens, _, probabilities = best_first([table], TextIndex(), [1, 2], 1, 1, 0.0)
    assert (
        likeliest([table], TextIndex(), [1, 2], 1, 0.5 * probabilities[0]) == tokens
        and likeliest([table], TextIndex(), [1, 2], 1, probabilities[0] + 1e-9) == []
    )
    assert likeliest([Table.empty(4)], TextIndex(), [1, 2], 3, 0.0) == []


def test_an_evicted_table_is_freed():
    tables = TrigramTables(100, buckets=4, limit=2, backend="aot")
    tables.body.draft(tables.shared, tables.own("first"), tables.body.index(), [1, 2], 4, 2, 1e-3)
    first = weakref.ref(tables.own("first").weights)
    for name in ("second", "third"):
        tables.body.draft(tables.shared, tables.own(name), tables.body.index(), [1, 2], 4, 2, 1e-3)
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


def said_by(table, last, kept=0.5):
    """What a table holds as said after the longest known context: token to probability."""
    for key, line in said_keys(last_tokens(last, len(last))):
        place = find(table, key)
        if place is not None:
            known = zip(table.tokens[place].tolist(), table.weights[place].tolist(), strict=True)
            return {token: weight / kept for token, weight in known if weight > 0}, line
    return {}, 0


def test_what_is_said_is_kept_for_right_drafts_and_wrong_ones():
    """A text 1 2 3 4 with the draft 5 - 6 and 7 beside 5: what is said after 7 is known though 7 was never taken."""
    table = Table.empty(64)
    best = np.array([[5, 7], [6, 9], [8, -1], [1, 2]], np.int32)
    logs = np.log(np.array([[0.7, 0.2], [0.5, 0.3], [0.9, 0.1], [0.6, 0.4]], np.float32))
    absorb(table, [1, 2, 3, 4], ([5, 6, 7], [-1, 0, -1]), best, logs)
    for last, found, line in (
        ([1, 2, 3, 4], {5: 0.7, 7: 0.2}, 3),
        ([9, 9, 3, 4], {5: 0.7, 7: 0.2}, 2),
        ([9, 4], {5: 0.7, 7: 0.2}, 1),
        ([3, 4, 5, 6], {8: 0.9}, 3),
        ([2, 3, 4, 7], {1: 0.6, 2: 0.4}, 3),
        ([7], {1: 0.6, 2: 0.4}, 1),
        ([9], {}, 0),
    ):
        said, kind = said_by(table, last)
        assert kind == line and said.keys() == found.keys() and all(np.isclose(said[t], found[t]) for t in found), last
    assert distribution([table], last_tokens([1, 2, 3, 4], 4)) == {}  # it is kept apart from what is counted
    for _ in range(20):
        absorb(table, [1, 2, 3, 4], ([], []), np.array([[8, 5]], np.int32), np.log(np.array([[0.8, 0.1]], np.float32)))
    said, _ = said_by(table, [1, 2, 3, 4], kept=1.0)
    assert np.isclose(said[8], 0.8) and np.isclose(said[5], 0.1) and said[7] < 1e-5  # a running average


def test_what_is_said_joins_what_is_counted():
    table = Table.empty(64)
    assert believe(table, last_tokens([1], 1), {}) == {}
    absorb(table, [1], ([], []), np.array([[5, 6]], np.int32), np.log(np.array([[0.8, 0.2]], np.float32)))
    found = believe(table, last_tokens([9, 1], 2), {5: 0.6, 7: 0.3})
    constant, counted, said = MIX[1]
    for token, (count, share) in {5: (0.6, 0.4), 6: (0.0, 0.1), 7: (0.3, 0.0)}.items():
        odds = constant + counted * log_odds(count) + said * log_odds(np.float32(share))
        assert np.isclose(found[token], 1 / (1 + np.exp(-odds)), rtol=1e-5)
    assert found[5] > found[7] > found[6] > 0
    sure = dict.fromkeys(range(10, 20), 0.999)
    assert np.isclose(sum(believe(table, last_tokens([1], 1), sure).values()), 1.0)


def test_a_draft_goes_through_contexts_that_were_only_said():
    """The text never held 4 after 3; the model said it there once, in a draft that was refused."""
    for body in (CppTrigram(), PythonTrigram()):
        own, index = Table.empty(64), body.index()
        logs = np.log(np.array([[0.9, 0.05], [0.9, 0.05]], np.float32))
        body.absorb(own, [1, 2], Verified([3], [-1], np.array([[8, 9], [4, 5]], np.int32), logs))
        tokens, parents, _ = body.draft(Table.empty(1), own, index, [7, 3], 2, 1, 1e-4)
        assert tokens == [4, 5] and parents == [-1, -1]
