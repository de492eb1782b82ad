"""The contract of contrastive_score, in NumPy."""

import numpy as np


def contrastive_score(
    expert: np.ndarray, base: np.ndarray, alpha_beta: np.ndarray, allowed: np.ndarray | None = None, best: int = 0
) -> tuple[np.ndarray, ...]:
    """Masked contrastive scores, the chosen token and its log-probability (CoLD, arXiv 2505.14620; O'Brien & Lewis).

    expert, base float32 [P, V]; alpha_beta float32 [P, 2], a row's alpha in [0, 1] and beta >= 0, or a
    negative alpha for padding, whose outputs are unspecified; allowed int8 [P, V], zero for a token that may not come.
    Returns scores float32 [P, V], token int32 [P], logprob float32 [P] (natural log). All arithmetic in float32,
    unfused:

    * the expert logit of a token that may not come counts as -inf, for the maximum below too;
    * a token stays if expert >= max(expert) + log(alpha); alpha = 0 keeps all;
    * its score is (1 + beta) * expert - beta * base, computed as expert + beta * (expert - base): that is exactly the
      expert where the two agree and never NaN; where beta = 0 it is expert itself, and base, which may then hold
      anything, is not read;
    * every other token, and every token whose expert logit is -inf, has score -inf;
    * the token is the best one, the lowest id on ties (0 if all are -inf); logprob is its log-softmax of the scores.

    With `best` = k > 0 two more follow: the k best tokens int32 [P, k] by falling score, the lowest id first on ties,
    -1 where no token with a score is left; and their log-softmax float32 [P, k], -inf where there is none.

    Logits that are read are not NaN and not +inf. beta > 0 with base = -inf gives +inf.
    """
    alpha, beta = alpha_beta[:, :1].astype(np.float32), alpha_beta[:, 1:].astype(np.float32)
    if allowed is not None:
        expert = np.where(allowed != 0, expert, np.float32(-np.inf))
    base = np.where(beta == 0, expert, base)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cutoff = expert.max(axis=1, keepdims=True) + np.log(alpha.astype(np.float64)).astype(np.float32)
        contrast = expert + beta * (expert - base)
        scores = np.where(beta == 0, expert, contrast)
        scores = np.where((expert >= cutoff) & (expert > -np.inf), scores, np.float32(-np.inf)).astype(np.float32)
        token = scores.argmax(axis=1).astype(np.int32)
        highest = scores.max(axis=1, keepdims=True).astype(np.float64)
        gaps = np.where(scores == highest, 0.0, scores.astype(np.float64) - highest)  # equal infinities are no gap
        logprob = np.where(highest[:, 0] == -np.inf, -np.inf, -np.log(np.exp(gaps).sum(axis=1)))
    if not best:
        return scores, token, logprob.astype(np.float32)
    tokens = np.full((len(scores), best), -1, np.int32)
    logprobs = np.full((len(scores), best), -np.inf, np.float32)
    for row, order in enumerate(np.argsort(-scores, axis=1, kind="stable")[:, :best]):
        kept = order[scores[row, order] > -np.inf]
        tokens[row, : len(kept)] = kept
        logprobs[row, : len(kept)] = gaps[row, kept] + logprob[row]
    return scores, token, logprob.astype(np.float32), tokens, logprobs


def finite_logits(logprob: np.ndarray, expert: np.ndarray, base: np.ndarray, alpha_beta: np.ndarray) -> np.ndarray:
    """The log-probabilities of a step, NaN where a logit that their score reads is NaN or infinite.

    logprob float32 [P], the rest as above, float32 [P] out. What may not come is looked at too; base is not where beta
    is 0; padding is unspecified. Logits whose sum overflows may count as infinite.
    """
    finite = np.isfinite(expert).all(axis=1) & ((alpha_beta[:, 1] == 0) | np.isfinite(base).all(axis=1))
    return np.where(finite, logprob, np.float32(np.nan))
