"""Lookahead decoding: the window and pool against a naive one on logits of whole texts, and no token changed."""

import pytest

from mindcold.drafting import Draft, NgramDrafter, Verified
from mindcold.sampling_params import SamplingParams
from tests.decoding.pairs import load_pair

METHODS = {
    "greedy": {"method": "greedy"},
    "cold": {"method": "cold", "alpha": 0.05, "beta": 0.8},
    "sample": {"method": "sample", "temperature": 1.3, "seed": 5},
    "masks": {"method": "greedy", "bad_words_ids": [[7, 8], [3]], "min_new_tokens": 9},
}
SIZES = [(5, 4, 5), (1, 2, 1), (3, 2, 4), (1, 5, 2), (15, 5, 15)]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_pair(tmp_path_factory.mktemp("ngram"), seed=1)[0]


def params(width, length, guesses, from_prompt=False):
    return SamplingParams(
        lookahead_window=width, ngram_size=length, guess_set_size=guesses, pool_from_prompt=from_prompt
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", METHODS)
def test_no_token_changes(llm, name, size):
    prompts, options = [[5, 9, 33], [7], [1, 2] * 9], METHODS[name] | {"max_new_tokens": 24}
    width, length, guesses = size
    sizes = {"lookahead_window": width, "ngram_size": length, "guess_set_size": guesses}
    plain = llm.generate(prompts, **options)
    for more in ({}, {"pool_from_prompt": False}):
        outs = llm.generate(prompts, draft="lookahead", **sizes, **more, **options)
        assert [out.token_ids for out in outs] == [out.token_ids for out in plain]
    alone = llm.generate(prompts[0], draft="lookahead", **sizes, **options)
    assert alone.token_ids == plain[0].token_ids


def test_it_finds_n_grams_of_the_model_itself(llm):
    """Without the prompt's: a text that goes in a circle is foreseen once the window has seen it."""
    options = {"max_new_tokens": 60, "eos_token_id": [], "pool_from_prompt": False}
    out = llm.generate([5, 9, 33], "lookahead", **options)
    plain = llm.generate([5, 9, 33], max_new_tokens=60, eos_token_id=[])
    assert out.token_ids == plain.token_ids and out.stats.method == "lookahead"
    assert out.stats.accepted > 5 and out.stats.target_passes < 55


def says(path):
    """A made-up model: the best token after a text."""
    return (31 * path[-1] + 7 * len(path) + sum(path)) % 23 + 1


def verified(ids, draft):
    import numpy as np

    paths = [list(ids)]
    for token, parent in zip(draft.tokens, draft.parents, strict=True):
        paths.append([*paths[parent + 1], token])
    best = np.array([[says(path)] for path in paths], np.int32)
    return Verified(draft.tokens, draft.parents, best, np.zeros(best.shape, np.float32))


class NaiveWindow:
    """The window of arXiv 2402.02057 with texts instead of rows: a token (level, column) follows its own path."""

    def __init__(self, first, width, length):
        self.levels, self.width, self.length, self.pool = [list(first)], width, length, []

    def step(self, ids):
        trunk = [ids[-1], *self.levels[0]]
        new = []
        for column in range(len(trunk)):
            path = [*ids[:-1], *trunk[: column + 1]]
            for level in self.levels[1:]:
                path = [*path, level[column]]
            new.append(says(path))
        levels = [*self.levels, new]
        if len(levels) < self.length:
            self.levels = [level[1:] for level in levels]
            return
        self.pool += [(trunk[i], tuple(level[i] for level in levels[1:])) for i in range(self.width)]
        self.levels = [levels[1][1:], *levels[2:]]


@pytest.mark.parametrize("width,length", [(4, 4), (1, 2), (3, 2), (2, 5)])
def test_the_window_is_that_of_the_paper(width, length):
    drafter, ids = NgramDrafter(params(width, length, 3), eos=[]), [4, 9, 2, 17]
    drafter.observe(ids, len(ids))
    naive = None
    for _ in range(12):
        draft = drafter.propose(ids, 63)
        if naive is None:
            assert len(drafter._levels) == 1 and set(drafter._levels[0]) <= set(ids)
            naive = NaiveWindow(drafter._levels[0], width, length)
        before = list(ids)
        ids.append(says(ids))
        naive.step(before)
        drafter.observe(ids, 1, verified(before, draft))
        assert drafter._levels == naive.levels
    assert [len(level) for level in naive.levels] == [width - 1, *[width] * (length - 2)] and naive.pool
    for token in {token for token, _ in naive.pool}:
        latest = list(dict.fromkeys(gram for known, gram in reversed(naive.pool) if known == token))[:3]
        assert drafter._pool.of(token) == latest


def test_the_draft_is_a_tree_of_the_guesses_and_the_window():
    drafter, ids = NgramDrafter(params(3, 3, 2, True), eos=[]), [1, 2, 3, 1, 2, 5, 1]
    drafter.observe(ids, len(ids))
    draft = drafter.propose(ids, 63)
    assert draft.tokens[:3] == [2, 5, 3] and draft.parents[:3] == [-1, 0, 0]  # the latest n-gram of 1 comes first
    assert len(draft.tokens) == len({*zip(draft.parents, draft.tokens, strict=True)}) <= drafter.size + 3
    small = drafter.propose(ids, 2)
    assert small.tokens == [2, 5]  # no room for the window, nor for two guesses
    assert drafter.propose([9], 2) == Draft()


def test_what_found_no_room_leaves_the_window_as_it_is():
    drafter, ids = NgramDrafter(params(4, 3, 3), eos=[]), [4, 9, 2, 17]
    drafter.observe(ids, len(ids))
    draft = drafter.propose(ids, 63)
    levels = drafter._levels
    drafter.observe([*ids, says(ids)], 1, verified(ids, draft.first(2)))
    assert drafter._levels == levels
    drafter.observe([*ids, says(ids)], 1, verified(ids, draft))
    assert drafter._levels != levels
