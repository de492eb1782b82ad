"""The batches of a run: order, lengths, scale and shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindcold.errors import TrainingError
from mindcold.jobs.rank import Rank
from mindcold.training.data import TrainingSet, widths
from mindcold.training.loss import SLICE
from mindcold.training.rows import Row
from mindcold.training.targets import IGNORED, Targets


def row(length, number, labels=1):
    """A row whose tokens are its number; the last few of its positions count."""
    tokens = np.full(length, number, np.int32)
    following = np.where(np.arange(length) >= length - labels, number, IGNORED).astype(np.int32)
    return Row(tokens, following, np.zeros(length, np.int32))


def numbers(batch):
    return batch.tokens[:, 0].tolist()


def test_an_epoch_is_a_permutation_that_depends_on_the_seed():
    rows = [row(8, number) for number in range(1, 13)]
    data = TrainingSet(rows, 8, batch=4, seed=1)
    first, second = ([numbers(data.batches(step)[0]) for step in steps] for steps in ((0, 1, 2), (3, 4, 5)))
    for epoch in (first, second):
        assert sorted(number for batch in epoch for number in batch) == list(range(1, 13))
    assert first != second
    assert [numbers(TrainingSet(rows, 8, 4, 1).batches(step)[0]) for step in range(3)] == first
    assert [numbers(TrainingSet(rows, 8, 4, 2).batches(step)[0]) for step in range(3)] != first
    assert data.steps(2) == 6 and data.steps(0.01) == 1


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 160), min_size=6, max_size=60),
    batch=st.integers(1, 6),
    length=st.sampled_from([160, 200]),
    seed=st.integers(0, 9),
)
def test_every_row_comes_once_an_epoch_in_a_batch_it_fits(lengths, batch, length, seed):
    rows = [row(count, number, min(3, count)) for number, count in enumerate(lengths, 1)]
    data = TrainingSet(rows, length, batch, seed)
    found = [item for step in range(data.per_epoch) for item in data.batches(step)]
    seen = [number for item in found for number in numbers(item)]
    assert len(seen) == len(set(seen)) == len(rows) // batch * batch and set(seen) <= set(range(1, len(rows) + 1))
    for item in found:
        assert item.tokens.shape[1] in widths(rows, length, batch)
        for line, number in enumerate(numbers(item)):
            count = lengths[number - 1]
            assert (item.documents[line] == -1).sum() == item.tokens.shape[1] - count
        labels = item.targets.tokens[item.targets.shares > 0]
        assert (item.tokens.ravel()[item.places[: len(labels)]] == labels).all()  # a row's labels are its number
        assert len(labels) == sum(min(3, lengths[number - 1]) for number in numbers(item))
        assert item.scale == pytest.approx(1 / len(labels))
    shapes = {(item.tokens.shape, item.places.shape) for item in found}
    assert len(shapes) <= 3  # each is a graph to compile


def test_short_rows_come_in_short_batches():
    rows = [row(count, 1) for count in [20] * 8 + [60] * 8 + [120] * 3]
    assert widths(rows, 128, 4) == [32, 64, 128]
    assert widths(rows, 128, 10) == [64, 128]
    assert widths(rows, 128, 20) == [128]
    assert widths([row(20, 1)] * 4, 24, 4) == [24]
    data = TrainingSet(rows, 128, 4, 0)
    found = sorted(data.batches(step)[0].tokens.shape[1] for step in range(data.per_epoch))
    assert found == [32, 32, 64, 64]
    assert TrainingSet(rows, 128, 4, 0, buckets=False).batches(0)[0].tokens.shape[1] == 128


def test_processes_share_the_batches_of_a_larger_accumulation():
    rows = [row(8, number, number % 5 + 1) for number in range(1, 33)]
    alone = TrainingSet(rows, 8, 2, 0, accumulation=4)
    ranks = [TrainingSet(rows, 8, 2, 0, 2, Rank(number, 2)) for number in range(2)]
    for step in range(5):
        shared = [numbers(item) for data in ranks for item in data.batches(step)]
        assert sorted(shared) == sorted(numbers(item) for item in alone.batches(step))
        scales = {item.scale for data in (alone, *ranks) for item in data.batches(step)}
        assert scales == {1 / alone.labels(step)}
        taken = sum(item.targets.shares.sum() for item in alone.batches(step))
        assert taken == alone.labels(step)


def test_in_order_holds_every_row_once():
    rows = [row(count, number, 2) for number, count in enumerate([40, 3, 9, 100, 33], 1)]
    found = TrainingSet(rows, 128, 2, 0).in_order()
    seen = [number for item in found for number in numbers(item) if number]
    assert sorted(seen) == [1, 2, 3, 4, 5]
    assert sum(item.targets.shares.sum() for item in found) == 10
    assert {item.scale for item in found} == {0.1}


def test_many_labels_are_whole_slices():
    data = TrainingSet([row(128, 1, 90)] * 4, 128, 4, 0)
    assert len(data.batches(0)[0].places) == 6 * SLICE


def test_too_few_or_too_long_rows():
    with pytest.raises(TrainingError, match="fewer than one batch"):
        TrainingSet([row(4, 1)], 4, 2, 0)
    with pytest.raises(TrainingError, match="above sequence_length 4"):
        TrainingSet([row(5, 1)], 4, 1, 0)


def test_what_a_teacher_held_likely_goes_where_it_counts():
    """Rows with and without a teacher in one batch: of each place what is its own, filled up with shares of 0."""
    taught = Row(
        np.array([5, 6, 7], np.int32),
        np.array([IGNORED, 7, 2], np.int32),
        np.zeros(3, np.int32),
        Targets.of_places([[], [(7, -1.0), (4, -1.0)], [(2, -0.5), (3, -40.0), (9, -0.5 - np.log(3))]]),
    )
    plain = row(4, 8)
    (batch,) = TrainingSet([plain, taught], 8, 2, 0, buckets=False).batches(0)
    line = numbers(batch).index(5)
    assert batch.tokens[line, :3].tolist() == [5, 6, 7] and batch.targets.width == 3 and batch.scale == 1 / 3
    by_place = dict(
        zip(batch.places.tolist(), zip(batch.targets.tokens, batch.targets.shares, strict=True), strict=True)
    )
    tokens, shares = by_place[line * 8 + 1]
    assert tokens.tolist() == [7, 4, 0] and shares.tolist() == [0.5, 0.5, 0.0]
    tokens, shares = by_place[line * 8 + 2]
    assert tokens.tolist() == [2, 3, 9]
    np.testing.assert_allclose(shares, [0.75, 0, 0.25], atol=1e-6)
    tokens, shares = by_place[(1 - line) * 8 + 3]
    assert tokens.tolist() == [8, 0, 0] and shares.tolist() == [1, 0, 0]
    assert batch.targets.shares.sum() == 3


def test_slices_without_a_label_are_left_out():
    """There is room for the batch with the most labels; others are not computed at that size."""
    data = TrainingSet([row(128, 1, 90)] * 2 + [row(128, 1, 20)] * 2, 128, 2, 3)
    for step in range(4):
        (batch,) = data.batches(step)
        slices = list(batch.labelled(SLICE))
        assert len(batch.places) == 3 * SLICE and len(slices) == -(-data.labels(step) // SLICE)
        assert sum(float(shares.asnumpy().sum()) for _, _, shares, _ in slices) == data.labels(step)
        assert {len(places) for places, *_ in slices} == {SLICE}
