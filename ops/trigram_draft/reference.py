"""The contract of trigram_draft: the most probable tree, and the most probable path, after a text."""

import heapq
from collections.abc import Sequence

from mindcold.ops.trigram_draft.recall import TextIndex, recall
from mindcold.ops.trigram_draft.said import believe
from mindcold.ops.trigram_draft.table import Table, distribution, last_tokens


def successors(tables: list[Table], index: TextIndex, text: Sequence[int]) -> dict[int, float]:
    """What may follow a text and how probably: counted, recalled, and said by the model in the last table."""
    last = last_tokens(text, len(text))
    return believe(tables[-1], last, recall(tables[-1], index, text, distribution(tables, last)))


def best_first(
    tables: list[Table], index: TextIndex, ids: Sequence[int], budget: int, depth: int, floor: float
) -> tuple[list[int], list[int], list[float]]:
    """The draft tree of the `budget` most probable nodes after a text, of which `index` knows what followed what.

    Recalls, and what was said, are believed as the last table has it. Gives tokens, parents (-1 for the root's
    children) and probabilities.

    Nodes come in the order of the probability of their path, which is optimal for a budget: the expected number of
    accepted tokens is the sum of these probabilities. Nodes deeper than `depth` or less probable than `floor` are left
    out. Ties go to the node found first, among siblings to the lower token.
    """
    tokens: list[int] = []
    parents: list[int] = []
    probabilities: list[float] = []
    count = 0
    heap: list[tuple[float, int, list[int], int, int, int]] = []

    def expand(text: list[int], parent: int, probability: float, level: int) -> None:
        nonlocal count
        found = successors(tables, index, text)
        for token, share in sorted(found.items(), key=lambda item: (-item[1], item[0])):
            if probability * share >= floor:
                heapq.heappush(heap, (-probability * share, count, text, token, parent, level))
                count += 1

    expand(list(ids), -1, 1.0, 1)
    while heap and len(tokens) < budget:
        negative, _, before, token, parent, level = heapq.heappop(heap)
        tokens.append(token)
        parents.append(parent)
        probabilities.append(-negative)
        if level < depth:
            expand([*before, token], len(tokens) - 1, -negative, level + 1)
    return tokens, parents, probabilities


def likeliest(
    tables: list[Table], index: TextIndex, ids: Sequence[int], length: int, min_probability: float
) -> list[int]:
    """The likeliest token after a text, the likeliest after that, and so on, lowest ids on ties.

    At most `length` tokens, and none at which the path is less probable than `min_probability`.
    """
    text, probability = list(ids), 1.0
    while len(text) - len(ids) < length:
        found = successors(tables, index, text)
        if not found:
            break
        token = min(found, key=lambda item: (-found[item], item))
        probability *= found[token]
        if probability < min_probability or probability <= 0:
            break
        text.append(token)
    return text[len(ids) :]
