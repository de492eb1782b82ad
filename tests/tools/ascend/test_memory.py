"""Views of memory: element types, strides and bits."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import Memory, OutOfBounds, View, from_bf16, to_bf16


def memory(size=64):
    return Memory("a memory", np.zeros(size, np.uint8))


@given(st.lists(st.floats(width=32), min_size=1, max_size=9))
def test_bfloat16_is_that_of_ml_dtypes(values):
    array = np.array(values, np.float32)
    wanted = array.astype(ml_dtypes.bfloat16)
    assert np.array_equal(from_bf16(to_bf16(array)), wanted.astype(np.float32), equal_nan=True)


def test_a_strided_view_reads_and_writes_its_own_elements():
    place = memory()
    view = View(place, "f32", 8, 1, (2, 3), (4, 1))
    view.write(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert place.data.view(np.float32).tolist()[2:10] == [0, 0, 1, 2, 0, 3, 4, 5]
    assert view.read().tolist() == [[0, 1, 2], [3, 4, 5]] and not view.dense
    assert sorted(view.where().tolist()) == [*range(12, 24), *range(28, 40)]


@given(st.integers(0, 9), st.lists(st.booleans(), min_size=1, max_size=30))
def test_bits_leave_their_neighbours_alone(offset, bits):
    place = memory(8)
    place.data[:] = 0b10100101
    before = np.unpackbits(place.data, bitorder="little")
    View(place, "i1", 1, offset, (len(bits),), (1,)).write(np.array(bits))
    after = np.unpackbits(place.data, bitorder="little")
    first = 8 + offset
    assert after[first : first + len(bits)].tolist() == bits
    before[first : first + len(bits)] = bits
    assert np.array_equal(after, before)
    assert View(place, "i1", 1, offset, (len(bits),), (1,)).read().tolist() == bits


@pytest.mark.parametrize("view", [(60, 0, (2,), (1,)), (0, -1, (1,), (1,)), (0, 0, (2, 2), (15, 2))])
def test_beyond_the_end_is_refused(view):
    start, offset, shape, strides = view
    place = View(memory(), "f32", start, offset, shape, strides)
    with pytest.raises(OutOfBounds, match="of a memory, which has 64"):
        place.read()
    with pytest.raises(OutOfBounds):
        place.where()


def test_nothing_touches_nothing():
    view = View(memory(0), "f32", 0, 7, (0,), (1,))
    view.write(np.zeros(0, np.float32))
    assert view.read().size == 0 and view.where() == slice(0, 0)
