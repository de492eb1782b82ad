"""Rewards: any function of the text."""

from collections.abc import Callable
from typing import Any

from mindcold.constraints.protocol import State, Vocabulary
from mindcold.constraints.text import BatchedTextState, TextState


class TextReward:
    """A function from the text so far to [0, 1], such as a classifier's probability that it is harmless.

    With `batched` it takes a list of texts and gives a list of values: all candidates of a search at once.
    """

    cumulative = False

    def __init__(self, function: Callable[..., Any], batched: bool = False):
        self.function, self.batched = function, batched

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        kind = BatchedTextState if self.batched else TextState
        return kind(vocabulary.text("TextReward"), self.function)
