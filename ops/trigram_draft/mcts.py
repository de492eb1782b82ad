"""The draft tree of ADED's own search, as its code has it: Monte Carlo tree search with PUCT over trigrams.

Source: arXiv 2407.12021 and its code, with the constants of its last release. What differs: one seed per context makes
it deterministic, and what does not fit the budget goes by its probability, not by its length.
"""

import math
from dataclasses import dataclass, field

from mindcold.ops.trigram_draft.table import Table, find

ITERATIONS, LENGTH, KEPT = 150, 4, 24
"""Rounds of the search, tokens of a path with the known one, and paths that are kept."""

C1, C2 = 32.0, 8.0
"""Constants of PUCT."""

MASK = (1 << 64) - 1


@dataclass(slots=True)
class Node:
    """A context in the tree of the search."""

    before: int
    last: int
    parent: int
    level: int
    prior: float
    visits: int = 0
    total: float = 0.0
    children: list[int] = field(default_factory=list)


def successors(tables: list[Table], before: int, last: int) -> list[tuple[int, float]]:
    """What has followed two tokens and with what weight, summed over the tables, in the order they are found."""
    found: dict[int, float] = {}
    for table in tables:
        place = find(table, (before, last))
        if place is not None:
            for token, weight in zip(table.tokens[place].tolist(), table.weights[place].tolist(), strict=True):
                if weight > 0:
                    found[token] = found.get(token, 0.0) + weight
    return list(found.items())


def puct(node: Node, parent: Node) -> float:
    """Score by which a child is selected; infinite for one that was never visited."""
    if not node.visits:
        return math.inf
    explore = C1 + math.log((parent.visits + C2 + 1.0) / C2)
    return node.total / node.visits + explore * node.prior * math.sqrt(parent.visits) / (1.0 + node.visits)


def mcts(tables: list[Table], first: int, second: int, budget: int) -> tuple[list[int], list[int], list[float]]:
    """The draft tree of ADED's search, at most `budget` nodes: tokens, parents (-1 for the root), probabilities.

    The probability of a node is the product of the shares its tokens have of their contexts' weights; nodes come in
    that order.
    """
    nodes = [Node(first, second, -1, 1, 1.0)]
    state = ((first & 0xFFFFFFFF) << 32 | second & 0xFFFFFFFF) & MASK

    def random() -> float:
        nonlocal state
        state = state + 0x9E3779B97F4A7C15 & MASK
        mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & MASK
        return ((mixed ^ mixed >> 31) >> 11) / (1 << 53)

    for _ in range(ITERATIONS):
        at = 0
        while nodes[at].children and nodes[at].level < LENGTH:
            best, value = -1, 0.0
            for child in nodes[at].children:
                score = puct(nodes[child], nodes[at])
                if score > value:
                    best, value = child, score
            at = best
        if nodes[at].level < LENGTH:
            node = nodes[at]
            for token, weight in successors(tables, node.before, node.last):
                node.children.append(len(nodes))
                nodes.append(Node(node.last, token, at, node.level + 1, weight))
            at = node.children[-1] if node.children else at
        reward = rollout(tables, nodes, at, random)
        while at >= 0:
            nodes[at].visits += 1
            nodes[at].total += reward
            at = nodes[at].parent
    return tree_of(tables, nodes, budget)


def rollout(tables: list[Table], nodes: list[Node], at: int, random) -> float:
    """One and the weights of a path with random tokens at its end.

    The weight looked up for a context is that of its own last token, as ADED's code has it.
    """
    path = [(nodes[at].before, nodes[at].last)]
    up = nodes[at].parent
    while up >= 0:
        path.insert(0, (nodes[up].before, nodes[up].last))
        up = nodes[up].parent
    while len(path) < LENGTH:
        items = successors(tables, *path[-1])
        if not items:
            break
        left = random() * sum(weight for _, weight in items)
        chosen = items[-1][0]
        for token, weight in items:
            left -= weight
            if left < 0:
                chosen = token
                break
        path.append((path[-1][1], chosen))
    reward = 1.0
    for before, last in path[:-1]:
        reward += dict(successors(tables, before, last)).get(last, 0.0)
    return reward


def tree_of(tables: list[Table], nodes: list[Node], budget: int) -> tuple[list[int], list[int], list[float]]:
    """The paths visited most, each with the likeliest token after it, as one tree."""
    trie: list[tuple[float, int, int]] = []  # probability, token, parent
    places: dict[tuple[int, int], int] = {}
    for number in sorted(range(len(nodes)), key=lambda i: -nodes[i].visits)[:KEPT]:
        if nodes[number].level < 2:
            continue
        path, at = list[int](), number
        while at > 0:
            path.insert(0, nodes[at].last)
            at = nodes[at].parent
        further = successors(tables, nodes[number].before, nodes[number].last)
        if further:
            path.append(max(further, key=lambda item: item[1])[0])
        before, last, parent, probability = nodes[0].before, nodes[0].last, -1, 1.0
        for token in path:
            items = dict(successors(tables, before, last))
            probability *= items[token] / sum(items.values())
            if (parent, token) not in places:
                places[parent, token] = len(trie)
                trie.append((probability, token, parent))
            parent = places[parent, token]
            before, last = last, token
    order = sorted(range(len(trie)), key=lambda i: -trie[i][0])[:budget]
    rank = {-1: -1} | {number: i for i, number in enumerate(order)}
    return [trie[i][1] for i in order], [rank[trie[i][2]] for i in order], [trie[i][0] for i in order]
