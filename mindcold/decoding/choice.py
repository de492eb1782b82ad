"""From scores to one token: penalties, truncation and the draw, as pure functions on NumPy rows."""

from collections.abc import Sequence

import numpy as np

from mindcold.decoding.options import Options


def penalise(scores: np.ndarray, seen: Sequence[int], penalty: float) -> np.ndarray:
    """Repetition penalty (Keskar et al. 2019): scores of seen tokens divided, or multiplied when negative."""
    if penalty == 1.0 or not len(seen):
        return scores
    ids = np.unique(np.asarray(seen, np.int64))
    out = scores.copy()
    out[ids] = np.where(out[ids] < 0, out[ids] * np.float32(penalty), out[ids] / np.float32(penalty))
    return out


def forbid(scores: np.ndarray, ids: Sequence[int]) -> np.ndarray:
    """Scores with some tokens at -inf."""
    out = scores.copy()
    out[list(ids)] = -np.inf
    return out


def under_mask(scores: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Scores with what a mask bool [vocab] forbids at -inf; None forbids nothing."""
    return scores if mask is None else np.where(mask, scores, np.float32(-np.inf))


def plausible(scores: np.ndarray, expert: np.ndarray, mask: np.ndarray | None, alpha: float) -> np.ndarray:
    """CoLD's scores under a mask bool [vocab]: `scores` of all tokens, cut by the expert's logits among those allowed.

    A token stays if it is allowed and its logit is at least that of the best allowed one + log(alpha) (arXiv
    2309.09117, section 2, with the mask as the vocabulary).
    """
    allowed = under_mask(expert, mask)
    least = allowed.max() + np.float32(np.log(alpha))
    return np.where((allowed >= least) & np.isfinite(allowed), scores, np.float32(-np.inf))


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """Ids of the best tokens that have a score at all, best first, the lowest ids on ties."""
    if count < scores.size:
        least = np.partition(scores, scores.size - count)[scores.size - count]
        ids = np.flatnonzero(scores >= least)
    else:
        ids = np.arange(scores.size)
    ids = ids[np.isfinite(scores[ids])]
    return ids[np.argsort(-scores[ids], kind="stable")][:count]


def probabilities(scores: np.ndarray, options: Options) -> np.ndarray:
    """Distribution to draw from, float64 [vocab]: temperature, top-k, top-p, min-p, in the order of transformers."""
    logits = scores.astype(np.float64) / options.temperature
    if 0 < options.top_k < logits.size:
        kth = np.partition(logits, -options.top_k)[-options.top_k]
        logits = np.where(logits < kth, -np.inf, logits)
    p = _softmax(logits)
    if options.top_p < 1.0:
        order = np.argsort(-logits, kind="stable")
        before = np.cumsum(p[order]) - p[order]  # a token stays while those before it have not reached top_p
        p[order[before >= options.top_p]] = 0.0
        p /= p.sum()
    if options.min_p > 0.0:
        p[p < options.min_p * p.max()] = 0.0
        p /= p.sum()
    return p


def draw(p: np.ndarray, seed: int, request: int, position: int) -> int:
    """One draw from a distribution; the random number depends on (seed, request, position) alone."""
    key = np.random.SeedSequence([seed, request, position])
    u = np.random.Generator(np.random.Philox(key)).random()
    cumulative = np.cumsum(p)
    return int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Natural log of the softmax of each row of `scores` [..., vocab], float64."""
    wide = scores.astype(np.float64)
    best = wide.max(axis=-1, keepdims=True)
    return wide - best - np.log(np.exp(wide - best).sum(axis=-1, keepdims=True))


def log_probabilities(scores: np.ndarray, tokens: np.ndarray | Sequence[int]) -> list[float]:
    """Natural log of the softmax of `scores` at some tokens."""
    return log_softmax(scores)[np.asarray(tokens, np.int64)].tolist()


def log_probability(scores: np.ndarray, token: int) -> float:
    """That at one token."""
    return log_probabilities(scores, [token])[0]


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
