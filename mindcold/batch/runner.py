"""Requests of one model decoded together as they come: rows that are freed are taken by the next at once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindcold.batch.response import Choice
from mindcold.decoding import RequestState, Scheduler
from mindcold.engine import LOCK
from mindcold.output import TextStream, Token, output_of
from mindcold.request import Request

if TYPE_CHECKING:
    from mindcold.llm import LLM


Key = tuple[int, int]
"""What a request is known by: the number of its line and of the choice."""


@dataclass(slots=True)
class _Running:
    key: Key
    stream: TextStream
    choice: Choice


class Runner:
    """One scheduler over a loaded model; requests are added at any time and given back when they are done."""

    def __init__(self, llm: "LLM", max_batch: int):
        self.scheduler = Scheduler(max_batch)
        self._llm = llm
        self._running: dict[int, _Running] = {}
        self.tokens = self.drafted = self.accepted = 0

    @property
    def unfinished(self) -> int:
        """Requests that are not done."""
        return len(self._running)

    @property
    def begun(self) -> list[Key]:
        """Keys of the requests that run."""
        return [self._running[id(state)].key for state in self.scheduler.running_requests]

    def add(self, key: Key, name: str, request: Request) -> None:
        """Queue a request; RequestError for what cannot be decoded.

        Its random numbers depend on its seed and `name`, not on what runs beside it.
        """
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        with LOCK:
            state = self._llm.builder.build(number, request, self._llm.trigrams, "")
        stream = self._llm.text_stream(state)
        self._running[id(state)] = _Running(key, stream, Choice())
        self.scheduler.add(state)

    def step(self) -> list[tuple[Key, Choice]]:
        """One step; the requests that are done with it."""
        for state, token, logprob, from_draft in self.scheduler.step():
            running = self._running[id(state)]
            running.choice.tokens.append(Token(token, running.stream.next(), logprob, from_draft))
            self.tokens += 1
        return [self._end(state) for state in self.scheduler.take_finished()]

    def drop(self, wanted: Callable[[Key], bool]) -> list[Key]:
        """Give up the requests whose key is wanted; they are not given back."""
        dropped = []
        for state in self.scheduler.unfinished_requests:
            running = self._running[id(state)]
            if wanted(running.key):
                self.scheduler.cancel(state)
                del self._running[id(state)]
                dropped.append(running.key)
        return dropped

    def close(self) -> None:
        """Give up what is under way and give back what it holds."""
        self.scheduler.close()
        self._running.clear()

    def _end(self, state: RequestState) -> tuple[Key, Choice]:
        running = self._running.pop(id(state))
        self.drafted += state.drafted
        self.accepted += state.accepted
        running.choice.output = output_of(state, running.stream)
        return running.key, running.choice
