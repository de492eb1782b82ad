"""The trigram drafter's tables: what is kept apart, what is kept at all, and files of them."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mindcold.drafting import TableKey, TrigramDrafter, TrigramTables
from mindcold.drafting.trigram import FORMAT
from mindcold.errors import RequestError
from mindcold.ops.trigram_draft.table import find

VOCAB = 50
ONE = TableKey("one")


def learned(key=ONE, text=(1, 2, 3, 4) * 4):
    tables = TrigramTables(VOCAB, buckets=64)
    TrigramDrafter(tables, key).observe(list(text), len(text))
    return tables


def test_what_is_learned_from_one_adapter_another_does_not_know():
    tables = learned()
    assert TrigramDrafter(tables, ONE).propose([1, 2], 2).tokens == [3, 4]
    assert TrigramDrafter(tables, TableKey("two")).propose([1, 2], 2).tokens == []
    tables.warm([[1, 2, 9, 9]])
    assert 9 in TrigramDrafter(tables, TableKey("two")).propose([1, 2], 2).tokens  # the shared table is everyone's


def test_it_learns_as_it_goes():
    drafter = TrigramDrafter(TrigramTables(VOCAB, buckets=64), ONE)
    ids = [5, 6, 7]
    assert drafter.propose(ids, 3).tokens == []
    drafter.observe(ids, 3)
    for token in (5, 6, 7, 5, 6):
        ids.append(token)
        drafter.observe(ids, 1)
    assert drafter.propose(ids, 3).tokens == [7, 5, 6]


def test_the_published_rule_counts_the_last_sixteen_tokens_at_every_call():
    tables = TrigramTables(VOCAB, buckets=64)
    drafter = TrigramDrafter(tables, ONE, "mcts", "aded")
    ids = [1, 2, 3, *range(10, 23)]
    drafter.observe(ids, len(ids))
    weights = [find_weight(tables, (1, 2), 3)]
    for i in range(3):
        ids.append(30 + i)
        drafter.observe(ids, 1)
        weights.append(find_weight(tables, (1, 2), 3))
    assert np.allclose(weights, [0.04, 0.04, 0.04, 0.04])  # once in the window of the first call, then out of it
    for _ in range(100):
        drafter.observe(ids, 1)
    assert find_weight(tables, (20, 21), 22) == 3.0  # the cap
    assert drafter.propose([20, 21], 4).tokens[0] == 22


def find_weight(tables, context, token):
    """Weight of a successor in the first adapter's table."""
    table = tables.own(ONE)
    place = find(table, context)
    return float(table.weights[place][table.tokens[place] == token][0])


def test_warming_up_fills_the_shared_table_anew():
    tables = TrigramTables(VOCAB, buckets=64)
    tables.warm([[1, 2, 3]] * 5 + [[1, 2, 4]])
    tables.warm([[1, 2, 5]] * 3 + [[1, 2, 6]])
    drafter = TrigramDrafter(tables, ONE)
    assert drafter.propose([1, 2], 2).tokens == [5, 6]
    sums = tables.shared.weights.sum(axis=2)
    assert np.allclose(sums[sums > 0], 3.0)


def test_the_number_of_tables_is_bounded():
    tables = TrigramTables(VOCAB, buckets=4, limit=3)
    sizes = set()
    for i in range(20):
        TrigramDrafter(tables, TableKey(str(i))).observe([1, 2, 3], 3)
        sizes.add(tables.nbytes)
    assert max(sizes) == 4 * min(sizes) // 2  # the shared one and three others, after one and the shared one


def test_a_file_brings_everything_back(tmp_path):
    tables = learned()
    tables.warm([[1, 2, 9]])
    tables.save(tmp_path / "t.safetensors")
    again = TrigramTables(VOCAB, buckets=8)
    again.load(tmp_path / "t.safetensors", ["base", "one"])
    for ids in ([1, 2], [3, 4], [2, 9]):
        mine, its = (TrigramDrafter(item, ONE).propose(ids, 8) for item in (tables, again))
        assert mine == its
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]


def damage(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": FORMAT, "vocab_size": "50", "tables": '[["one", "plain"]]'})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "truncated or not a safetensors file"),
        (lambda path: save_file(load_file(path), path, {"format": "other"}), "format: 'other', but"),
        (lambda path: damage(path, lambda t: t.pop("1.keys")), "table 1: missing"),
        (lambda path: damage(path, lambda t: t.update({"1.keys": t["1.keys"][:3].copy()})), "wrong type or shape"),
        (lambda path: damage(path, lambda t: t["0.tokens"].__setitem__(0, 50)), "tokens or weights that cannot be"),
        (
            lambda path: damage(path, lambda t: t["0.weights"].__setitem__(0, np.nan)),
            "tokens or weights that cannot be",
        ),
        (lambda path: damage(path, lambda t: t["1.recalls"].__setitem__((0, 0, 0, 0), 9)), "that cannot be"),
        (lambda path: damage(path, lambda t: t["1.recalls"].__setitem__((0, 0, 0), 0)), "that cannot be"),
        (lambda path: damage(path, lambda t: t["1.recalls"].__setitem__((0, 0, 0, 0), -1)), "that cannot be"),
        (
            lambda path: damage(path, lambda t: t.update({"0.recalls": t["0.recalls"][:3].copy()})),
            "wrong type or shape",
        ),
    ],
)
def test_damaged_files_are_refused_and_change_nothing(tmp_path, change, message):
    path = tmp_path / "t.safetensors"
    tables = learned()
    tables.save(path)
    change(path)
    with pytest.raises(RequestError, match=message):
        tables.load(path, ["one"])
    assert TrigramDrafter(tables, ONE).propose([1, 2], 1).tokens == [3]


def test_tables_of_another_vocabulary_or_adapter_are_refused(tmp_path):
    path = tmp_path / "t.safetensors"
    learned().save(path)
    with pytest.raises(RequestError, match="vocab_size: 50, but the model has 99"):
        TrigramTables(99).load(path, ["one"])
    with pytest.raises(RequestError, match="'one' is an adapter that is not loaded; loaded are base, two"):
        TrigramTables(VOCAB).load(path, ["base", "two"])


def test_budgets_go_with_their_tables():
    tables = TrigramTables(VOCAB, buckets=4, limit=3)
    for i in range(20):
        tables.own(TableKey(str(i)))
        tables.budget(TableKey(str(i)), False)
        tables.budget(TableKey(str(i)), True)
    assert len(tables._budgets) == 3
    assert tables.budget(TableKey("19"), True) is tables.budget(TableKey("19"), True)


@pytest.mark.parametrize("name", ["team/one", "a/b/c", "with space", '"quoted"', "ä"])
def test_adapters_of_any_name_come_back(tmp_path, name):
    key = TableKey(name, "alpha 0.1 beta 0.5")
    tables = learned(key)
    tables.own(TableKey("draft model folder/x"))
    tables.save(tmp_path / "t.safetensors")
    again = TrigramTables(VOCAB)
    again.load(tmp_path / "t.safetensors", ["base", name])
    assert TrigramDrafter(again, key).propose([1, 2], 2).tokens == [3, 4]
