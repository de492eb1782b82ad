"""Rows, labels and the order of the training data."""

import json

import numpy as np
import pytest

from mindcold import model_zoo
from mindcold.errors import TrainingError
from mindcold.tokenizer import Tokenizer
from mindcold.training.data import Example, TrainingSet, pack, pad, read_data
from mindcold.training.model import IGNORED


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(model_zoo.path("tiny-base"))


def test_packed_labels_are_the_next_tokens_across_rows():
    tokens, labels = pack([[1, 5, 6, 2], [1, 7, 8, 9, 2]], 4)
    assert tokens.tolist() == [[1, 5, 6, 2], [1, 7, 8, 9]]
    assert labels.tolist() == [[5, 6, 2, 1], [7, 8, 9, 2]]


def test_labels_cover_the_completion_and_the_end_only(tokenizer):
    example = Example("Question: 2 + 3? Answer:", " 2 + 3 = 5.")
    tokens, labels = pad([example], tokenizer, eos=2, length=48)
    counted = labels[0] != IGNORED
    wanted = [*tokenizer.encode(example.prompt + example.completion)[len(tokenizer.encode(example.prompt)) :], 2]
    assert labels[0][counted].tolist() == wanted
    assert counted.argmax() == len(tokenizer.encode(example.prompt)) - 1
    # each label is the token that the row shows one place later
    places = np.flatnonzero(counted)[:-1]
    assert (tokens[0][places + 1] == labels[0][places]).all()


def test_order_is_a_permutation_per_epoch_and_depends_on_the_seed():
    tokens = np.arange(12, dtype=np.int32).reshape(12, 1)
    data = TrainingSet(tokens, tokens, batch=4, steps=6, seed=1)
    first, second = ([data[step][0].ravel().tolist() for step in steps] for steps in ((0, 1, 2), (3, 4, 5)))
    for epoch in (first, second):
        assert sorted(token for batch in epoch for token in batch) == list(range(12))
    assert first != second
    assert [data[step][0].ravel().tolist() for step in range(3)] == first
    other = TrainingSet(tokens, tokens, batch=4, steps=6, seed=2)
    assert [other[step][0].ravel().tolist() for step in range(3)] != first


def test_no_batch_counts_more_positions_than_the_bound():
    labels = np.full((9, 6), IGNORED, np.int32)
    for row in range(9):
        labels[row, : row % 4] = 7
    data = TrainingSet(labels, labels, batch=3, steps=12, seed=0)
    assert data.counted == 9
    assert max((data[step][1] != IGNORED).sum() for step in range(12)) <= data.counted


def test_examples_and_texts_are_read(tmp_path, tokenizer):
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps({"prompt": "One", "completion": " two"}) + "\n\n", encoding="utf-8")
    tokens, labels = read_data(path, tokenizer, 2, 16)
    assert tokens.shape == labels.shape == (1, 16)
    path = tmp_path / "corpus.txt"
    path.write_text("The cat ran to the house.\n" * 20, encoding="utf-8")
    tokens, labels = read_data(path, tokenizer, 2, 8)
    assert (labels != IGNORED).all() and (tokens.ravel()[1:] == labels.ravel()[:-1]).all()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "{oops", "line 1: not valid JSON"),
        ("a.jsonl", '{"text": 3}', "line 1: strings"),
        ("a.jsonl", '{"prompt": "x"}', "line 1: strings"),
        ("a.jsonl", '{"text": "a"}\n{"prompt": "a", "completion": "b"}', "cannot be mixed"),
        ("a.jsonl", "", "no examples"),
        ("a.jsonl", json.dumps({"prompt": "word " * 50, "completion": "x"}), "sequence_length is 16"),
    ],
)
def test_bad_data_is_one_line(tmp_path, tokenizer, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=message) as caught:
        read_data(path, tokenizer, 2, 16)
    assert "\n" not in str(caught.value)


def test_missing_file_and_too_little_text(tmp_path, tokenizer):
    with pytest.raises(TrainingError, match=r"nothing\.txt"):
        read_data(tmp_path / "nothing.txt", tokenizer, 2, 16)
    with pytest.raises(TrainingError, match="fewer than one batch"):
        TrainingSet(*pack([[1, 2]], 4), batch=2, steps=1, seed=0)
