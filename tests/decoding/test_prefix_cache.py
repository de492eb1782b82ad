"""What prompts have in common is computed once, and changes no token."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindcold import Request
from mindcold.decoding import Scheduler
from mindcold.decoding.prefix_cache import MAX_PREFIXES, MIN_SHARED, PrefixCache
from tests.decoding.fake_constraints import Liked
from tests.folders import load_random

COMMON = [int(i * i % 89) + 3 for i in range(70)]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_random(tmp_path_factory.mktemp("prefix"), seed=3)


def requests(length=8):
    options = {"max_new_tokens": length}
    ahead = {"constraint": Liked(range(0, 64, 3)), "lookahead": 3, "candidates": 4, "reward_weight": 3.0}
    return [
        Request([*COMMON, 5, 9], **options),
        Request([*COMMON, 6], "cold", draft="trigram", **options),
        Request([*COMMON, 7, 7], "cold", **options),
        Request([*COMMON, 8], "cdlh", **ahead, **options),
        Request([*COMMON, 8, 4, 3], "cdsl", **ahead, **options),
        Request([*COMMON, 10], "cdsl", draft="base", **ahead, **options),
        Request([*COMMON, 11], "beam", num_beams=3, **options),
        Request([*COMMON, 12], "beam", score="contrastive", num_beams=2, **options),
        Request([*COMMON, 12], "sample", seed=4, adapter="base", **options),
        Request([*COMMON, 13], "greedy", adapter="base", **options),
        Request(COMMON, "greedy", **options),
        Request(COMMON, "cdlh", score="contrastive", **ahead, **options),
    ]


def run(llm, states, together):
    """Decode; rows of each step."""
    rows, scheduler, engine_run = [], Scheduler(together), llm.engine.run
    llm.engine.run = lambda plan, *rest: (rows.append(len(plan.rows)), engine_run(plan, *rest))[1]
    try:
        for state in states:
            scheduler.add(state)
        while scheduler.unfinished:
            scheduler.step()
        scheduler.close()
    finally:
        del llm.engine.run
    assert not any(state.error for state in states)
    assert llm.engine.used_slots == 0
    return rows


def build(llm, found):
    return [llm.builder.build(i, request, llm.trigrams) for i, request in enumerate(found)]


@pytest.mark.parametrize("together", [3, 12])
def test_requests_of_all_methods_share_a_prefix_and_keep_their_tokens(llm, together):
    alone = build(llm, requests())
    apart = sum(sum(run(llm, [state], 1)) for state in alone)
    shared = build(llm, requests())
    rows = sum(run(llm, shared, together))
    assert [state.token_ids for state in shared] == [state.token_ids for state in alone]
    # streams whose prefix is not computed again: 12 of adapter and base, 4 computed once each at most
    assert apart - rows >= 8 * len(COMMON)


def test_a_prefix_is_computed_once(llm):
    states = build(llm, [Request([*COMMON, 5 + i], max_new_tokens=2, eos_token_id=[]) for i in range(9)])
    assert sum(run(llm, states, 4)) == len(COMMON) + 9 * 2


def test_one_that_is_cancelled_leaves_the_prefix_to_others(llm):
    found = [Request([*COMMON, 5 + i], max_new_tokens=3, prefill_chunk=16) for i in range(3)]
    alone = build(llm, found)
    for state in alone:
        run(llm, [state], 1)
    states, scheduler = build(llm, found), Scheduler(3)
    for state in states:
        scheduler.add(state)
    scheduler.step()  # the first has a chunk of the prefix, the others wait for it
    assert scheduler.running_requests == states[:1]
    scheduler.cancel(states[0])
    while scheduler.unfinished:
        scheduler.step()
    scheduler.close()
    assert [state.token_ids for state in states[1:]] == [state.token_ids for state in alone[1:]]
    assert llm.engine.used_slots == 0


class FakeSequence:
    def __init__(self):
        self.pending, self.open = [], True

    def close(self):
        self.open = False


ENGINE = SimpleNamespace(branches=True)


def state(prompt, adapters=(0,)):
    return SimpleNamespace(engine=ENGINE, prompt=list(prompt), stream_adapters=list(adapters))


def test_what_nobody_uses_goes_first_in_first_out():
    cache, sequences = PrefixCache(), []
    for i in range(MAX_PREFIXES + 2):
        sequences.append(FakeSequence())
        prefix = cache.add(state([i] * 50), 40, sequences[-1])
        cache.use(prefix)
        prefix.computed = True
        cache.leave(prefix)
    assert [sequence.open for sequence in sequences] == [False] * 2 + [True] * MAX_PREFIXES
    assert cache.find(state([0] * 50)) is None and cache.find(state([5] * 50)) is not None
    assert cache.find(state([5] * 40)) is None  # a token has to be left
    assert cache.find(state([5] * 50, [0, -1])) is None
    assert cache.make_room() and not cache.make_room()
    assert not any(sequence.open for sequence in sequences)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(0, 60))
def test_the_length_saves_most(ends, own):
    """The naive choice: of all lengths, the one that most tokens of others begin with."""
    base = list(range(100, 160))
    prompt = [*base[:own], *range(200, 240)]
    others = [[*base[:end], *range(300 + 50 * i, 340 + 50 * i)] for i, end in enumerate(ends)]
    limit = len(prompt) - 1
    agreed = [
        next((i for i, (a, b) in enumerate(zip(prompt, other, strict=False)) if a != b), limit) for other in others
    ]
    lengths = [min(limit, length) for length in agreed if length >= MIN_SHARED]
    best = max((length * sum(other >= length for other in lengths) for length in lengths), default=0)
    found = PrefixCache().common(state(prompt), [state(other) for other in others])
    assert found * sum(other >= found for other in lengths) == best
    assert (found == 0) == (not lengths)
