"""A text in a model that drafts, which goes along with what is decided."""

from collections.abc import Sequence

from mindcold.engine import Sequence as KVSequence


class DraftText:
    """One text in a drafting model: its keys and values are kept as far as the next text begins like it."""

    def __init__(self, sequence: KVSequence, prompt: Sequence[int] = ()):
        """On a sequence that may hold the beginning of the prompt already."""
        self.sequence = sequence
        self._ids = list(prompt[: sequence.length])

    def common(self, ids: Sequence[int]) -> int:
        """How many of these tokens it holds, the last one never."""
        held, known = self._ids, 0
        limit = min(self.sequence.length, len(held), len(ids) - 1)
        while known < limit and held[known] == ids[known]:
            known += 1
        return known

    def follow(self, ids: Sequence[int], leader: "DraftText | None" = None) -> None:
        """Stand after these tokens; those that it does not hold are pending, at least the last one.

        They begin with all that `leader` holds, whose keys and values are shared where this text begins otherwise.
        """
        known = self.common(ids)
        if leader and known < leader.sequence.length:
            self.sequence.share(leader.sequence)
            known = leader.sequence.length
        self.sequence.trim(known)
        self.sequence.pending = list(ids[known:])
        self.hold(ids)

    def push(self, token: int) -> None:
        """One more token, pending."""
        self._ids.append(token)
        self.sequence.pending = [token]

    def hold(self, ids: Sequence[int]) -> None:
        """What its sequence was fed begins these tokens."""
        self._ids = list(ids)
