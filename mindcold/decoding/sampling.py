"""The one way from scores to a token: what may come, penalties, truncation and the draw, on NumPy rows.

The order is that of `transformers`, with one rule on top: whatever forbids a token acts before the plausibility cut of
a contrast, for the mask goes into the graph that scores.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mindcold.constraints import ConstraintError, ConstraintSet
from mindcold.sampling_params import SamplingParams


@dataclass(frozen=True)
class TokenFilter:
    """What may come next in one request: what constraints allow, no end too early, no bad words."""

    vocab_size: int
    min_new_tokens: int
    eos: tuple[int, ...]
    bad_words: Sequence[tuple[int, ...]] = ()
    constrained: bool = False
    """Whether constraints forbid tokens."""

    def active(self, produced: int) -> bool:
        """Whether anything may be forbidden after so many new tokens."""
        return self.constrained or bool(self.bad_words) or (bool(self.eos) and produced < self.min_new_tokens)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.bad_words), default=1)

    def mask(self, ids: Sequence[int], produced: int, state: ConstraintSet | None) -> np.ndarray | None:
        """Tokens that may follow `ids`, of which the last `produced` are new: bool [vocab], None for all.

        ConstraintError where none is left.
        """
        if not self.active(produced):
            return None
        allowed = state.allowed() if self.constrained and state else None
        mask = np.ones(self.vocab_size, bool) if allowed is None else np.array(allowed, bool)
        if produced < self.min_new_tokens:
            mask[list(self.eos)] = False
        last = tuple(ids[max(0, len(ids) - self._longest + 1) :]) if self._longest > 1 else ()
        for word in self.bad_words:
            if len(word) == 1 or (len(last) >= len(word) - 1 and last[len(last) - len(word) + 1 :] == word[:-1]):
                mask[word[-1]] = False
        if not mask.any():
            raise ConstraintError("constraint: no token is allowed here, by constraint, minimum length and bad words")
        return mask


def penalise(scores: np.ndarray, seen: Iterable[int], penalty: float) -> np.ndarray:
    """Repetition penalty (Keskar et al. 2019): scores of seen tokens divided, or multiplied when negative."""
    if penalty == 1.0:
        return scores
    ids = np.unique(np.fromiter(seen, np.int64))
    out = scores.copy()
    out[ids] = np.where(out[ids] < 0, out[ids] * np.float32(penalty), out[ids] / np.float32(penalty))
    return out


def contrast(expert: np.ndarray, amateur: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Scores of one model against another, float32 [vocab] all, as the operator contrastive_score has them.

    (O'Brien & Lewis, arXiv 2309.09117.) It looks at the tokens that stay alone, of which there are few.
    """
    scores = np.full_like(expert, -np.inf)
    cutoff = expert.max() + np.log(np.float64(np.float32(alpha))).astype(np.float32)
    kept = np.flatnonzero((expert >= cutoff) & (expert > -np.inf))
    scores[kept] = expert[kept]
    if beta:
        scores[kept] += np.float32(beta) * (expert[kept] - amateur[kept])
    return scores


def probabilities(scores: np.ndarray, params: SamplingParams) -> np.ndarray:
    """Distribution to draw from, float64 [vocab]: temperature, top-k, top-p, min-p, in the order of transformers."""
    with np.errstate(over="ignore"):  # a temperature near 0 leaves the best token alone
        logits = (scores.astype(np.float64) - scores.max()) / params.temperature
    if 0 < params.top_k < logits.size:
        kth = np.partition(logits, -params.top_k)[-params.top_k]
        logits = np.where(logits < kth, -np.inf, logits)
    weights = np.exp(logits)
    p = weights / weights.sum()
    if params.top_p < 1.0:
        order = np.argsort(-logits, kind="stable")
        before = np.cumsum(p[order]) - p[order]  # a token stays while those before it have not reached top_p
        p[order[before >= params.top_p]] = 0.0
        p /= p.sum()
    if params.min_p > 0.0:
        p[p < params.min_p * p.max()] = 0.0
        p /= p.sum()
    return p


TARGET, DRAFT, ACCEPT, RESIDUAL = range(4)
"""What a random number is for; each has its own at every position."""


def uniform(seed: int, request: int, position: int, use: int = TARGET, candidate: int = 0) -> float:
    """A random number in [0, 1) that depends on (seed, request, position), its use and the candidate alone.

    The first candidate of several has the random numbers of one that is alone.
    """
    more = [use, candidate] if candidate else [use] if use else []
    key = np.random.SeedSequence([seed, request, position, *more])
    return np.random.Generator(np.random.Philox(key)).random()


def draw(p: np.ndarray, seed: int, request: int, position: int, use: int = TARGET, candidate: int = 0) -> int:
    """One draw from a distribution, by the random number of this position and use; see `uniform`."""
    u = uniform(seed, request, position, use, candidate)
    cumulative = np.cumsum(p)
    return int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))


def verify_drawn(p: np.ndarray, q: np.ndarray, token: int, seed: int, request: int, position: int) -> int:
    """The token of a place whose draft was drawn from q: that with probability min(1, p / q), else one of the rest.

    p and q float64 [vocab]. Modified rejection (Leviathan et al., arXiv 2211.17192, appendix A.1; speculative
    contrastive decoding, arXiv 2311.08981, with p of the contrast): the result is drawn from p.
    """
    if uniform(seed, request, position, ACCEPT) * q[token] < p[token]:
        return token
    rest = np.maximum(p - q, 0.0)
    return draw(rest if rest.any() else p, seed, request, position, RESIDUAL)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token is chosen: what random numbers depend on."""

    request: int
    position: int
    """Of the new tokens."""
    candidate: int = 0


def choose(
    scores: np.ndarray,
    seen: Iterable[int],
    params: SamplingParams,
    place: Place | None,
    drawn: tuple[np.ndarray, int] | None = None,
) -> tuple[int, float]:
    """The token of a place and its log-probability, from scores float32 [vocab] and the text so far.

    The best one without a place, else one that is drawn; where the draft of the place was `drawn` from a law, one that
    keeps or refuses it (`verify_drawn`).
    """
    scores = penalise(scores, seen, params.repetition_penalty)
    if place is None:
        token = int(scores.argmax())
    else:
        p, at = probabilities(scores, params), (params.seed, place.request, place.position)
        token = verify_drawn(p, *drawn, *at) if drawn else draw(p, *at, candidate=place.candidate)
    likely = scores[scores > -np.inf].astype(np.float64)
    best = likely.max()
    return token, float(scores[token] - best - np.log(np.exp(likely - best).sum()))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Natural log of the softmax of each row of `scores` [..., vocab], float64."""
    wide = scores.astype(np.float64)
    best = wide.max(axis=-1, keepdims=True)
    return wide - best - np.log(np.exp(wide - best).sum(axis=-1, keepdims=True))
