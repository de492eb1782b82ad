"""Progressive precision: the first tokens with the loaded weights, the others with lower ones.

The static scheduler of PMPD (arXiv 2410.13461), with two precisions: prefill and the first steps need more of it than
later ones. Approximate by its own definition: after the switch the lower weights choose, on keys and values of the
higher ones. The paper's learned scheduler has to be trained and is not here.
"""

from mindcold import sampling_params
from mindcold.decoding.forward import SequenceSpec, Steps
from mindcold.decoding.methods.token_tree import TokenTree
from mindcold.decoding.request import RequestState
from mindcold.engine import Sequence


class ProgressivePrecision(TokenTree):
    """Token by token, with or without drafts, in one sequence and from `high_precision_steps` tokens on in another."""

    keywords = TokenTree.keywords | {sampling_params.PRECISION}

    @staticmethod
    def sequences(state: RequestState) -> list[SequenceSpec]:
        """One of each precision; that of the loaded weights holds no more than the tokens it decides."""
        assert state.lower is not None
        size = len(state.prompt) + min(state.params.high_precision_steps, state.max_new_tokens) + TokenTree.nodes(state)
        high = SequenceSpec(state.engine, state.stream_adapters, size, prompt=True)
        own, *others = TokenTree.sequences(state)
        return [high, SequenceSpec(state.lower, state.stream_adapters, own.size), *others]

    def __init__(self, state: RequestState, sequences: list[Sequence]):
        high, self.low, *others = sequences
        super().__init__(state, [high, *others])

    @property
    def room(self) -> int:
        """New tokens that may still come in the precision that decides now."""
        return super().room if self.sequence is self.low else min(super().room, self._left)

    @property
    def _left(self) -> int:
        return self.state.params.high_precision_steps - len(self.state.token_ids)

    def steps(self) -> Steps:
        """The passes of the loaded weights, then those of the lower ones."""
        while self._left > 0:
            yield from self.advance()
        self.low.adopt(self.sequence)
        self.sequence = self.low
        yield from super().steps()
