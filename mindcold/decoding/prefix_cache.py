"""Common beginnings of prompts, such as a system prompt: computed once, shared by all requests that have them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mindcold.decoding.forward import SequenceSpec
from mindcold.decoding.kept_prompts import KeptPrompts, agreement
from mindcold.decoding.request import RequestState
from mindcold.engine import Engine, Sequence

MIN_SHARED = 32
"""Tokens that are worth a sequence, and a pass, of their own."""

MAX_PREFIXES = 4
"""Beginnings that are kept while nobody uses them."""


class PrefixKey(NamedTuple):
    """What keys and values depend on beside the tokens."""

    engine: Engine
    adapters: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Prefix:
    """The beginning of some prompts, and the sequence that holds its keys and values."""

    key: PrefixKey
    ids: list[int]
    sequence: Sequence
    users: int = 0
    """Requests that stand on it."""
    computed: bool = False

    def is_shared(self, spec: SequenceSpec) -> bool:
        """Whether a sequence of a request that stands on it begins with its keys and values."""
        return spec.prompt and self.key == (spec.engine, tuple(spec.adapters))

    def rest(self, spec: SequenceSpec) -> SequenceSpec:
        """What such a sequence needs for itself."""
        return replace(spec, size=spec.size - len(self.ids)) if self.is_shared(spec) else spec


class PrefixCache:
    """The prefixes of one scheduler; those that nobody uses are given up, the one used longest ago first."""

    def __init__(self) -> None:
        self._prefixes: list[Prefix] = []

    def find(self, state: RequestState) -> Prefix | None:
        """The longest prefix its prompt begins with; at least one token of the prompt is left."""
        key, prompt = _key(state), state.prompt
        fitting = [
            item
            for item in self._prefixes
            if item.key == key and len(item.ids) < len(prompt) and prompt[: len(item.ids)] == item.ids
        ]
        return max(fitting, key=lambda item: len(item.ids), default=None)

    def common(self, state: RequestState, others: Iterable[RequestState]) -> int:
        """Tokens of its prompt that are worth a prefix, by what those that wait begin with; 0 for none."""
        key, limit = _key(state), len(state.prompt) - 1
        if limit < MIN_SHARED or not state.engine.branches:
            return 0
        head = state.prompt[:MIN_SHARED]
        lengths = Counter(
            min(limit, agreement(state.prompt, other.prompt))
            for other in others
            if other.prompt[:MIN_SHARED] == head and _key(other) == key
        )
        saved = {length: length * sum(n for other, n in lengths.items() if other >= length) for length in lengths}
        return max(saved, key=lambda length: saved[length], default=0)

    def add(self, state: RequestState, length: int, sequence: Sequence) -> Prefix:
        """Keep the beginning of its prompt in a sequence, which has room for it and is given back from here."""
        prefix = Prefix(_key(state), state.prompt[:length], sequence)
        sequence.pending = list(prefix.ids)
        self._prefixes.append(prefix)
        return prefix

    def use(self, prefix: Prefix) -> None:
        """One more request stands on it."""
        prefix.users += 1
        self._prefixes.remove(prefix)
        self._prefixes.append(prefix)

    def leave(self, prefix: Prefix) -> None:
        """One request less stands on it."""
        prefix.users -= 1
        if not prefix.users and not prefix.computed:
            self._give_up([prefix])
        self._give_up(self._unused[:-MAX_PREFIXES])

    def make_room(self) -> bool:
        """Give up what nobody uses; whether there was anything."""
        unused = self._unused
        self._give_up(unused)
        return bool(unused)

    def close(self, kept: KeptPrompts) -> None:
        """Leave what nobody uses to later schedulers, or give it up."""
        for prefix in self._unused:
            self._prefixes.remove(prefix)
            kept.take(prefix.sequence, prefix.ids)

    @property
    def _unused(self) -> list[Prefix]:
        return [item for item in self._prefixes if not item.users]

    def _give_up(self, prefixes: list[Prefix]) -> None:
        for prefix in prefixes:
            prefix.sequence.close()
            self._prefixes.remove(prefix)


def _key(state: RequestState) -> PrefixKey:
    return PrefixKey(state.engine, tuple(state.stream_adapters))
