"""contrastive_score in the AKG hybrid language: one output and one phase per kernel, chained in a Cell.

On CPU, AKG compiles only part of the language rightly, and says nothing where it does not; these kernels keep to that
part: the vector length is pinned (else reductions over the last axis come out wrong), flags are selects, and a single
row is doubled (its reduction loop would run in parallel with itself). The intrinsics are those allowed on Ascend.
"""

from mindspore import ops
from mindspore.ops import kernel

from mindcold.ops.contrastive_score.body import BestTokens, ContrastiveScore
from mindcold.ops.hybrid import PINNED

# The names below belong to the hybrid language and are bound when a kernel is parsed or run.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"


@kernel(compile_attrs=PINNED)
def row_best(x):
    """Largest value of each row: float32 [B, V] -> [B, 1]."""
    best = output_tensor((x.shape[0], 1), x.dtype)
    for i in range(x.shape[0]):
        best[i, 0] = x[i, 0]
        for j in range(x.shape[1]):
            best[i, 0] = max(best[i, 0], x[i, j])
    return best


@kernel(compile_attrs=PINNED)
def forbid(expert, allowed):
    """The expert with -inf where a token may not come: float32 [B, V], int8 [B, V] -> [B, V]."""
    masked = output_tensor(expert.shape, expert.dtype)
    for i in range(expert.shape[0]):
        for j in range(expert.shape[1]):
            masked[i, j] = expert[i, j] if allowed[i, j] != 0 else -1e39
    return masked


@kernel(compile_attrs=PINNED)
def contrast(expert, base, alpha_beta, best):
    """Masked contrastive scores: float32 [B, V], [B, V], [B, 2], [B, 1] -> [B, V]; -1e39 is -inf in float32."""
    scores = output_tensor(expert.shape, expert.dtype)
    for i in range(expert.shape[0]):
        for j in range(expert.shape[1]):
            scores[i, j] = (
                (
                    expert[i, j] + alpha_beta[i, 1] * (expert[i, j] - base[i, j])
                    if alpha_beta[i, 1] > 0.0
                    else expert[i, j]
                )
                if expert[i, j] >= best[i, 0] + log(alpha_beta[i, 0]) and expert[i, j] > -1e39
                else -1e39
            )
    return scores


@kernel(compile_attrs=PINNED)
def first_best(scores, best):
    """Lowest id whose score is the row's best: float32 [B, V], [B, 1] -> float32 [B, 1], exact below 2^24."""
    token = output_tensor((scores.shape[0], 1), scores.dtype)
    for i in range(scores.shape[0]):
        token[i, 0] = float32(scores.shape[1])
        for j in range(scores.shape[1]):
            token[i, 0] = min(token[i, 0], float32(j) if scores[i, j] >= best[i, 0] else float32(scores.shape[1]))
    return token


@kernel(compile_attrs=PINNED)
def exp_gap(scores, best):
    """exp(score - best), one where they are equal (also if infinite): float32 [B, V], [B, 1] -> [B, V]."""
    weights = output_tensor(scores.shape, scores.dtype)
    for i in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            weights[i, j] = exp(max(scores[i, j] - best[i, 0], -87.0)) if scores[i, j] < best[i, 0] else 1.0
    return weights


@kernel(compile_attrs=PINNED)
def row_sum(x):
    """Sum of each row: float32 [B, V] -> [B, 1]."""
    total = output_tensor((x.shape[0], 1), x.dtype)
    for i in range(x.shape[0]):
        total[i, 0] = 0.0
        for j in range(x.shape[1]):
            total[i, 0] = total[i, 0] + x[i, j]
    return total


@kernel(compile_attrs=PINNED)
def negative_log(total, best):
    """-log(sum of exp), -inf for a row without any token: float32 [B, 1], [B, 1] -> [B, 1]."""
    logprob = output_tensor(total.shape, total.dtype)
    for i in range(total.shape[0]):
        for j in range(total.shape[1]):
            logprob[i, j] = -log(total[i, j]) if best[i, j] > -1e39 else -1e39
    return logprob


KERNELS = (forbid, row_best, contrast, first_best, exp_gap, row_sum, negative_log)


class AkgContrastiveScore(ContrastiveScore):
    """See reference.py; exp is approximate to 1e-4 relative, so logprob is within 1e-4 of the contract.

    The k best tokens are taken from the scores by MindSpore's own operators.
    """

    def __init__(self, best: int = 0):
        super().__init__(best)
        self.best_tokens = BestTokens(best)
        self.forbid = ops.Custom(forbid, func_type="hybrid")
        self.row_best = ops.Custom(row_best, func_type="hybrid")
        self.contrast = ops.Custom(contrast, func_type="hybrid")
        self.first_best = ops.Custom(first_best, func_type="hybrid")
        self.exp_gap = ops.Custom(exp_gap, func_type="hybrid")
        self.row_sum = ops.Custom(row_sum, func_type="hybrid")
        self.negative_log = ops.Custom(negative_log, func_type="hybrid")
        self.concat = ops.Concat(axis=0)

    def construct(self, expert, base, alpha_beta, allowed=None):
        rows = expert.shape[0]
        if rows == 1:
            expert, base = self.add_copy(expert), self.add_copy(base)
            alpha_beta = self.add_copy(alpha_beta)
        if allowed is not None:
            expert = self.forbid(expert, self.add_copy(allowed) if rows == 1 else allowed)
        scores = self.contrast(expert, base, alpha_beta, self.row_best(expert))
        best = self.row_best(scores)
        token = self.first_best(scores, best)
        logprob = self.negative_log(self.row_sum(self.exp_gap(scores, best)), best)
        scores, logprob = scores[:rows], logprob[:rows].reshape(-1)
        token = token[:rows].reshape(-1).astype("int32")
        if self.best == 0:
            return scores, token, logprob
        return scores, token, logprob, *self.best_tokens(scores, logprob)

    def add_copy(self, row):
        """A second row like the only one, since a reduction over one row alone races with itself."""
        return self.concat((row, row))
