"""What a model said lately: the best tokens of verified rows, right drafts or wrong, and how far to believe them.

Token Recycling (arXiv 2408.08696) keeps the best tokens after the last token. Here they are kept with probabilities
after the last token, two and four, beside what has really followed: a context of each kind has an entry of its own in
the same table. A draft asks the longest that is known, and its tokens join those that were counted and recalled.
"""

import math
from collections.abc import Sequence

import numpy as np

from mindcold.ops.trigram_draft.table import REACH, Table, add, claim, contexts, find, last_tokens

SAID = 0x40000000
"""Flips a bit of the key of a context, above all token ids: the key of what was said after it."""

SAID_KEEP = 0.5
"""Weight of the past in the running average of a token's probability."""

MIX = ((-0.93, 1.11, 0.0), (-0.59, 0.43, 0.24), (-0.19, 0.36, 0.38), (0.4, 0.6, 0.4))
"""Logistic regression for what was said after no known context, one token, two and four: a constant, the weight of the
log-odds by counts and recalls, and that of the log-odds that were said. Fitted to greedy texts of SmolLM2-135M."""

LOWEST = 1e-3
"""Probabilities are taken as no nearer to zero and one."""


def said_keys(last: tuple[int, ...]) -> list[tuple[tuple[int, int], int]]:
    """Keys under which is kept what was said after the last four tokens, two and one, with their line of MIX."""
    found = []
    for first, second in contexts((-1, *last[1:]))[:-1]:
        if first < -2:
            found.append(((first, second ^ SAID), 3))
        elif first >= 0:
            found.append(((first ^ SAID, second), 2))
        else:
            found.append(((first, second ^ SAID), 1))
    return found


def absorb(
    table: Table,
    ids: Sequence[int],
    draft: tuple[Sequence[int], Sequence[int]],
    best: np.ndarray,
    logprobs: np.ndarray,
) -> None:
    """Learn what a model says after a text and after each node of a draft, given as tokens and parents.

    best int32 [1 + nodes, k] are the best tokens of every row, -1 for none, and logprobs float32 [1 + nodes, k] their
    log-probabilities.
    """
    paths: list[list[int]] = [list(ids[max(0, len(ids) - REACH) :])]
    for token, parent in zip(*draft, strict=True):
        paths.append([*paths[parent + 1], token])
    for path, tokens, logs in zip(paths, best.tolist(), logprobs.tolist(), strict=True):
        for key, _ in said_keys(last_tokens(path, len(path))):
            place = claim(table, key)
            table.weights[place] *= np.float32(SAID_KEEP)
            for token, log in zip(tokens, logs, strict=True):
                if token >= 0:
                    add(table, place, token, np.float32((1 - SAID_KEEP) * math.exp(log)), 1.0)


def believe(table: Table, last: tuple[int, ...], found: dict[int, float]) -> dict[int, float]:
    """Counted and recalled tokens and those that were said, each as probable as such ones were right."""
    said, kind = dict[int, float](), 0
    for key, line in said_keys(last):
        place = find(table, key)
        if place is not None:
            known = zip(table.tokens[place].tolist(), table.weights[place].tolist(), strict=True)
            said, kind = {token: weight for token, weight in known if weight > 0}, line
            break
    constant, counted, heard = MIX[kind]
    out, total = dict[int, float](), 0.0
    for token in {**found, **said}:
        odds = constant + counted * log_odds(found.get(token, 0.0)) + heard * log_odds(said.get(token, 0.0))
        out[token] = 1 / (1 + math.exp(-odds))
        total += out[token]
    return {token: share / total for token, share in out.items()} if total > 1 else out


def log_odds(probability: float) -> float:
    """Logarithm of p / (1 - p)."""
    p = min(max(probability, LOWEST), 1 - LOWEST)
    return math.log(p / (1 - p))
