"""What a method sees of a pass that others share."""

import numpy as np

from mindcold.decoding.forward import Feed, ForwardResult
from mindcold.drafting import Draft
from mindcold.engine.engine import StepOutput


def test_as_many_of_the_best_tokens_as_were_asked_for_though_the_step_has_more():
    best = np.array([[9, 9, 9, 9], [5, 3, 8, 1], [2, 4, -1, -1]], np.int32)
    logprobs = np.log(np.array([[0.9, 0.05, 0.03, 0.02], [0.5, 0.3, 0.1, 0.1], [0.6, 0.4, 0, 0]], np.float32) + 1e-30)
    output = StepOutput([9, 5, 2], [-1, 2, -1], logprobs[:, 0].tolist(), None, best, logprobs, None)
    result = ForwardResult(Feed(sequence=None, draft=Draft.chain([5])), output, 1, 3)  # type: ignore[arg-type]
    assert [token for token, _ in result.candidates(0)] == [5, 3, 8]
    assert [token for token, _ in result.candidates(1)] == [2, 4]  # no third that may come
    said = result.verified()
    assert said is not None and said.best.tolist() == [[5, 3, 8], [2, 4, -1]]
    assert said.best.flags.c_contiguous and said.logprobs.flags.c_contiguous
    assert ForwardResult(result.feed, output, 1).verified() is None
