"""The tokens of a batch as MindFormers' streamers take them: the prompts, then a column of new tokens at a time."""

from typing import Any

import numpy as np


class ColumnStreamer:
    """Feeds a streamer (`put`, `end`) from requests that are ahead of each other by what their drafts gained."""

    def __init__(self, streamer: Any, prompts: list[list[int]], pad_token_id: int):
        self._streamer, self._pad = streamer, pad_token_id
        self._new: list[list[int]] = [[] for _ in prompts]
        self._ended = [False] * len(prompts)
        self._sent = 0
        longest = max(map(len, prompts))
        streamer.put(np.array([[*prompt, *[pad_token_id] * (longest - len(prompt))] for prompt in prompts]))

    def push(self, row: int, token: int, ended: bool) -> None:
        """Take a token of one row; `ended` with its last."""
        self._new[row].append(token)
        self._ended[row] |= ended
        self._send()

    def end(self) -> None:
        """No more tokens come."""
        self._ended = [True] * len(self._ended)
        self._send()
        self._streamer.end()

    def _send(self) -> None:
        """Hand over the columns that are complete; a row that has ended gives padding."""
        while True:
            at = self._sent
            ready = [len(row) > at for row in self._new]
            if not any(ready) or not all(has or ended for has, ended in zip(ready, self._ended, strict=True)):
                return
            column = [row[at] if has else self._pad for row, has in zip(self._new, ready, strict=True)]
            self._streamer.put(column[0] if len(column) == 1 else column)
            self._sent += 1
