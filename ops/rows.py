"""The layout of the rows of a step: int32 [LINES, R], one column per row, read by line."""

from enum import IntEnum


class Row(IntEnum):
    """Lines of a row matrix; rows.h holds the same numbers.

    Lines 0-5 describe a row each. Lines 6-7 are a list of copies in the KV pool, lines 8-10 a table of segments:
    neither belongs to the row of the same column.
    """

    TOKEN = 0
    """Token id."""
    SEGMENT = 1
    """Number of the last segment of the row's sequence in the table below, -1 for a row of padding."""
    POSITION = 2
    """Place of the token in its sequence."""
    SLOT = 3
    """Slot of the KV pool that takes the row's key and value."""
    PARENT = 4
    """The row this one follows in the step, -1 if it follows committed tokens."""
    ADAPTER = 5
    """Adapter id, -1 for the base, -2 for a row of padding."""
    SOURCE = 6
    """Slot to copy from before anything else, -1 for none."""
    TARGET = 7
    """Slot to copy to."""
    SEGMENT_START = 8
    """First slot of a segment, a run of consecutive tokens in consecutive slots; -1 for an unused entry."""
    SEGMENT_FIRST = 9
    """Position, in its sequence, of the token in that first slot."""
    SEGMENT_PARENT = 10
    """The segment that holds the positions before, -1 for none."""


LINES = len(Row)
"""Lines of a row matrix."""

MAX_DEPTH = 4
"""Segments of a sequence, from its own to the root, at most."""
