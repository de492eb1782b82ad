"""Documents and examples in rows."""

import numpy as np

from mindcold.training.rows import Example, cut, packed
from mindcold.training.targets import IGNORED


def test_documents_are_cut_and_their_ends_have_no_label():
    rows = cut([[1, 5, 6, 2], [1, 7, 8, 9, 2], [1, 2]], 4)
    assert [item.tokens.tolist() for item in rows] == [[1, 5, 6, 2], [1, 7, 8, 9]]
    assert [item.labels.tolist() for item in rows] == [[5, 6, 2, IGNORED], [7, 8, 9, 2]]
    assert [item.documents.tolist() for item in rows] == [[0] * 4, [0] * 4]
    rows = cut([[1, 5, 2], [1, 7, 8, 9, 2]], 4)
    assert [item.documents.tolist() for item in rows] == [[0, 0, 0, 1], [0] * 4]
    assert rows[0].labels.tolist() == [5, 2, IGNORED, 7]
    assert cut([], 4) == [] and cut([[1, 2]], 4) == []


def test_examples_are_packed_whole_while_they_fit():
    examples = [
        Example([number] * count, [False, *[True] * (count - 1)]).row()
        for number, count in enumerate((4, 3, 5, 6, 2), 1)
    ]
    rows = packed(examples, 7)
    assert [item.tokens.tolist() for item in rows] == [[1, 1, 1, 2, 2], [3, 3, 3, 3], [4, 4, 4, 4, 4, 5]]
    assert [item.documents.tolist() for item in rows] == [[0, 0, 0, 1, 1], [0] * 4, [0] * 5 + [1]]
    assert all((item.labels == item.tokens).all() for item in rows)
    assert packed([], 7) == []


def test_labels_are_the_next_tokens_that_are_learned():
    found = Example([7, 8, 9, 2], [False, False, True, True]).row()
    assert found.tokens.tolist() == [7, 8, 9] and found.labels.tolist() == [IGNORED, 9, 2]
    assert found.counted == 2 and found.documents.dtype == np.int32
