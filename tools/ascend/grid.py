"""The grid of the proof: kernels in their element types, shapes with tails, ties and infinities."""

from collections.abc import Iterator
from functools import partial

import grid_draft
import grid_lora
import numpy as np
from cases import FLOATS, Case, Kernel, numbers, size_of, stored
from contracts import kernels, module

BEST = 5
"""Best tokens asked for."""


def all_kernels() -> list[Kernel]:
    """Every kernel of every operator."""
    return [*scores(), *best(), *grid_draft.all_kernels(), *grid_lora.all_kernels()]


def scores() -> Iterator[Kernel]:
    """contrastive_score with and without a mask of tokens that may come."""
    block = kernels("contrastive_score").BLOCK
    for dtype in FLOATS:
        for masked in (False, True):
            signature = {"expert": f"*{dtype}", "base": f"*{dtype}", "log_alpha": "*fp32", "beta": "*fp32"}
            signature |= {"allowed": "*i8", "scores": "*fp32", "token": "*i32", "logprob": "*fp32", "maxima": "*fp32"}
            yield Kernel(
                "contrastive_score",
                "contrastive_score",
                f"{dtype}{', masked' if masked else ''}",
                signature | {"V": "i32"},
                {"MASKED": masked, "BLOCK": block},
                partial(score_cases, dtype, masked, block),
                masked or dtype == "fp16",
            )


def logits(rows: int, vocabulary: int, dtype: str, seed: int) -> tuple[np.ndarray, ...]:
    """Expert, base, alpha and beta, allowed: rows with ties at the top, -inf, alpha 0 and 1, beta 0 beside NaN."""
    random = np.random.default_rng(seed)
    expert = (random.standard_normal((rows, vocabulary)) * 3).astype(np.float32)
    base = (random.standard_normal((rows, vocabulary)) * 3).astype(np.float32)
    alpha_beta = np.stack([np.resize([0.1, 0.5, 0.0, 1.0, 0.01], rows), np.resize([0.5, 0.0, 1.0, 0.25], rows)], 1)
    allowed = (random.random((rows, vocabulary)) < 0.9).astype(np.int8)
    for row in range(rows):
        ties = random.choice(vocabulary, min(3, vocabulary), replace=False)
        expert[row, ties], base[row, ties] = expert[row].max() + 1, 0.5
        expert[row, random.choice(vocabulary, vocabulary // 7, replace=False)] = -np.inf
        if row % 2 == 0:  # the last token is the only best one, so that a mask that leaves it out is seen
            expert[row, -1], base[row, -1], allowed[row, -1] = 50, 3, 1
        if row % 4 == 1:
            base[row] = np.nan  # beta is 0: not to be read
        if row == 2:
            expert[row] = -np.inf
        if row == 4:
            base[row, vocabulary // 2 :] = -np.inf  # the scores there are +inf
    return stored(expert, dtype), stored(base, dtype), alpha_beta.astype(np.float32), allowed


def score_cases(dtype: str, masked: bool, block: int, bounded: bool) -> Iterator[Case]:
    """contrastive_score over rows and vocabularies."""
    shapes = [(1, 2 * block + 904), (5, block + 77), (2, 7), (1, block), (1, 152_064)]
    if not bounded:
        shapes += [(64, 1000), (2, 49_152), (1, 151_936), (5, block + 1), (1, 1)]
    for rows, vocabulary in shapes:
        expert, base, alpha_beta, allowed = logits(rows, vocabulary, dtype, rows * vocabulary)
        contract = module("contrastive_score.reference").contrastive_score
        wanted = contract(
            numbers(expert, dtype).astype(np.float32),
            numbers(base, dtype).astype(np.float32),
            alpha_beta,
            allowed if masked else None,
        )
        with np.errstate(divide="ignore"):
            log_alpha = np.log(alpha_beta[:, 0].astype(np.float64)).astype(np.float32)
        maxima = tile_maxima(wanted[0], block)
        arrays = {"expert": expert, "base": base, "log_alpha": log_alpha, "beta": alpha_beta[:, 1].copy()}
        arrays |= {"allowed": allowed, "scores": np.zeros_like(wanted[0]), "token": np.zeros_like(wanted[1])}
        arrays |= {"logprob": np.zeros_like(wanted[2]), "maxima": np.zeros_like(maxima)}
        size = size_of(dtype)
        yield Case(
            f"{rows} x {vocabulary}",
            arrays,
            {"V": vocabulary},
            (rows,),
            {"scores": wanted[0], "token": wanted[1], "logprob": wanted[2], "maxima": maxima},
            {"logprob": 5e-6},
            {"expert": dtype, "base": dtype},
            vocabulary <= 3 * block,
            rows * vocabulary * (3 * size + 4 + (2 if masked else 0)),
        )


def tile_maxima(values: np.ndarray, block: int) -> np.ndarray:
    """The highest score of each tile."""
    tiles = -(-values.shape[1] // block)
    padded = np.full((len(values), tiles * block), -np.inf, np.float32)
    padded[:, : values.shape[1]] = values
    return padded.reshape(len(values), tiles, block).max(axis=2)


def best() -> Iterator[Kernel]:
    """best_tokens, after contrastive_score."""
    block = kernels("contrastive_score").BLOCK
    signature = {"scores": "*fp32", "maxima": "*fp32", "logprob": "*fp32", "tokens": "*i32", "logprobs": "*fp32"}
    for tiles in (4, 1, 32, 128):
        yield Kernel(
            "contrastive_score",
            "best_tokens",
            f"up to {tiles} tiles" if tiles > 1 else "one tile",
            signature | {"V": "i32", "K": "i32"},
            {"TILES": tiles, "BLOCK": block},
            partial(best_cases, tiles, block),
            True,
        )


def best_cases(tiles: int, block: int, bounded: bool) -> Iterator[Case]:
    """The k best, more than there are tokens with a score among them."""
    shapes = {
        1: [(3, 7, 4), (1, 1, 2), (2, block, BEST)],
        4: [(2, 2 * block + 904, BEST), (1, 4 * block, 3)],
        32: [(2, 49_152, BEST)],
        128: [(1, 152_064, BEST)],
    }[tiles]
    if not bounded:
        shapes += {1: [(64, 1000, 8)], 4: [(5, 3 * block + 1, 16)], 32: [], 128: [(5, 151_936, 8)]}[tiles]
    for rows, vocabulary, count in shapes:
        expert, base, alpha_beta, allowed = logits(rows, vocabulary, "fp32", rows + vocabulary)
        contract = module("contrastive_score.reference").contrastive_score
        values, _, logprob, tokens, logprobs = contract(expert, base, alpha_beta, allowed, best=count)
        arrays = {"scores": values, "maxima": tile_maxima(values, block), "logprob": logprob}
        arrays |= {"tokens": np.zeros_like(tokens), "logprobs": np.zeros_like(logprobs)}
        yield Case(
            f"{rows} x {vocabulary}, {count} best",
            arrays,
            {"V": vocabulary, "K": count},
            (rows,),
            {"tokens": tokens, "logprobs": logprobs},
            {"logprobs": 1e-6},
            bytes_moved=rows * (count * block * 4 + tiles * 4 + count * 8),
        )
