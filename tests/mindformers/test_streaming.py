"""Streamers get the prompts, then a column of tokens at a time, whatever is ahead."""

import runpy

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mindformers.script import ROOT

# the file by itself: its package would import MindFormers into this process
ColumnStreamer = runpy.run_path(str(ROOT / "mindcold/mindformers/streaming.py"))["ColumnStreamer"]


class Recorder:
    def __init__(self):
        self.values, self.ended = [], 0

    def put(self, value):
        self.values.append(value)

    def end(self):
        self.ended += 1


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=4), data=st.data())
def test_columns_come_whole_in_any_order_of_the_rows(rows, data):
    recorder = Recorder()
    stream = ColumnStreamer(recorder, [[7] * (1 + i) for i in range(len(rows))], 0)
    assert isinstance(recorder.values[0], np.ndarray) and recorder.values[0].shape == (len(rows), len(rows))
    left = [list(row) for row in rows]
    while any(left):
        row = data.draw(st.sampled_from([i for i, item in enumerate(left) if item]))
        token = left[row].pop(0)
        stream.push(row, token, not left[row])
    longest = max(map(len, rows))
    expected = [[row[i] if i < len(row) else 0 for row in rows] for i in range(longest)]
    assert recorder.values[1:] == [column[0] if len(rows) == 1 else column for column in expected]
    assert recorder.ended == 0  # columns come as soon as they are whole, not at the end
    stream.end()
    assert len(recorder.values) == 1 + longest and recorder.ended == 1
