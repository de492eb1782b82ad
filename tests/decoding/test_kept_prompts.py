"""What prompts of earlier calls leave changes no token, is bounded, and makes room for those that run."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mindcold
from mindcold import Request
from mindcold.decoding import KeptPrompts
from mindcold.decoding.kept_prompts import MIN_KEPT
from mindcold.errors import RequestError
from tests.decoding.fake_constraints import Liked
from tests.decoding.pairs import load_pair
from tests.decoding.test_not_finite import scaled
from tests.folders import write_adapter, write_model

COMMON = [int(i * i % 59) + 3 for i in range(70)]
ENGINE = SimpleNamespace(branches=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model that keeps nothing, the same one that keeps prompts, and a drafting model for it."""
    plain, drafts = load_pair(tmp_path_factory.mktemp("kept"), seed=3)
    folder = plain.folder
    keeping = mindcold.load(folder, folder.parent / "adapter", prefix_cache=600)
    return plain, keeping, drafts


@pytest.fixture
def llm(models):
    yield models[1]
    models[1].kept_prompts.clear()
    assert models[1].engine.used_slots == 0


def requests(drafts, last, length=8):
    options = {"max_new_tokens": length}
    ahead = {"constraint": Liked(range(0, 64, 3)), "lookahead": 3, "candidates": 4, "reward_weight": 3.0}
    return [
        Request([*COMMON, last, 9], **options),
        Request([*COMMON, last], "cold", draft="trigram", **options),
        Request([*COMMON, last, 7], "greedy", **drafts, **options),
        Request([*COMMON, last, 7], "greedy", draft_tokens=12, draft_width=3, **drafts, **options),
        Request([*COMMON, last], "scd", amateur=drafts["draft"], **options),
        Request([*COMMON, last], "cdlh", **ahead, **options),
        Request([*COMMON, last, 4, 3], "cdsl", **ahead, **options),
        Request([*COMMON, last], "cdsl", draft="base", **ahead, **options),
        Request([*COMMON, last], "cdsl", draft=drafts["draft"], **ahead, **options),
        Request([*COMMON, last], "beam", num_beams=3, **options),
        Request([*COMMON, last], "beam", num_beams=2, draft_tokens=12, **drafts, **options),
        Request([*COMMON, last], "best_of", num_candidates=2, constraint=Liked(range(0, 64, 3)), seed=2, **options),
        Request([*COMMON, last], "pmpd", high_precision_steps=3, **options),
        Request([*COMMON, last], "lookahead", **options),
        Request([*COMMON, last], "sample", seed=4, adapter="base", **options),
        Request(COMMON, "cold", **options),
    ]


def rows_of(llm, request):
    """Tokens, and the rows of all steps of the target."""
    rows, run = [], llm.engine.run
    llm.engine.run = lambda plan, *rest: (rows.append(len(plan.rows)), run(plan, *rest))[1]
    try:
        return llm.generate(request).token_ids, sum(rows)
    finally:
        del llm.engine.run


@pytest.mark.parametrize("number", range(len(requests({"draft": ""}, 5))))
def test_every_method_goes_on_from_what_earlier_prompts_left(models, llm, number):
    plain, _, drafts = models
    first, second = (requests(drafts, last)[number] for last in (5, 11))
    assert llm.generate(first).token_ids == plain.generate(first).token_ids
    left = llm.engine.used_slots
    expected, apart = rows_of(plain, second)
    found, rows = rows_of(llm, second)
    assert left >= len(COMMON) and found == expected
    assert apart - rows >= len(COMMON) - 10  # the last token is computed, and a first step that is short takes drafts
    assert not llm.engine._moves


def test_calls_of_all_methods_one_after_the_other_and_together(models, llm):
    plain, _, drafts = models
    for last in (5, 11):
        for request in requests(drafts, last):
            assert llm.generate(request).token_ids == plain.generate(request).token_ids
    found = requests(drafts, 12)
    together = [out.token_ids for out in llm.generate(found)]
    assert together == [out.token_ids for out in plain.generate(found)]


def test_turns_of_a_talk_go_on_from_one_another(models, llm):
    plain, talk, computed = models[0], list(COMMON), []
    for turn in range(4):
        request = Request(talk, max_new_tokens=6, eos_token_id=[])
        expected, _ = rows_of(plain, request)
        found, rows = rows_of(llm, request)
        assert found == expected
        computed.append(rows)
        talk = [*talk, *found, 7 + turn, 9, 4]
    assert computed == [len(COMMON) + 5, *[6 + 3 + 5] * 3]  # the answer before, what was said then, new tokens
    assert len(llm.kept_prompts._kept) == 1  # each takes the place of the one it begins with


def test_several_together_leave_the_beginning_they_share(llm):
    llm.generate([[*COMMON, 5 + i] for i in range(4)], max_new_tokens=2)
    _, rows = rows_of(llm, Request([*COMMON, 50], max_new_tokens=2, eos_token_id=[]))
    assert rows == 2


def test_those_that_run_need_the_room(tmp_path):
    model = write_model(tmp_path / "model", seed=2, max_position_embeddings=2048)
    llm = mindcold.load(model, write_adapter(tmp_path / "adapter"), prefix_cache=300)
    plain = mindcold.load(model, tmp_path / "adapter")
    for prompt in ([*COMMON, 5], [*COMMON, 6]):
        llm.generate(prompt, max_new_tokens=4)
    slots, held = llm.engine._pool.slots, llm.engine.used_slots
    assert 0 < held <= 300 + 76
    size = slots - 20  # with what is kept it does not fit
    long = [3 + i % 90 for i in range(size - 4)]
    assert llm.generate(long, max_new_tokens=4).token_ids == plain.generate(long, max_new_tokens=4).token_ids
    assert llm.engine._pool.slots == slots
    llm.kept_prompts.clear()
    assert llm.engine.used_slots == 0


def test_what_failed_leaves_nothing(tmp_path):
    """Logits that are no numbers may have left keys and values that are none either."""
    adapter = scaled(write_adapter(tmp_path / "adapter"), 1e30)
    llm = mindcold.load(write_model(tmp_path / "model"), adapter, prefix_cache=300)
    with pytest.raises(RequestError, match="not a number"):
        llm.generate(COMMON, max_new_tokens=4)
    assert llm.engine.used_slots == 0


def test_a_call_that_is_left_keeps_what_it_has_computed(models, llm):
    plain, tokens = models[0], llm.stream([*COMMON, 5, 6], max_new_tokens=9, eos_token_id=[])
    next(tokens)
    tokens.close()
    request = Request([*COMMON, 5, 8], max_new_tokens=2, eos_token_id=[])
    expected, _ = rows_of(plain, request)
    assert rows_of(llm, request) == (expected, 2)


class FakeSequence:
    """So many tokens in streams of such adapters."""

    def __init__(self, length, adapters=(0,), parent=None):
        self.engine, self.length, self.open, self.begun = ENGINE, length, True, None
        self.streams = [SimpleNamespace(adapter=adapter, parent=parent, size=99) for adapter in adapters]

    def shrink(self, length):
        for segment in self.streams:
            segment.size = length

    def copy_beginning(self, leader, length):
        self.begun = leader, length

    def close(self):
        self.open = False


def taken(kept, ids, *rest):
    """A sequence of a prompt that is kept, or not."""
    sequence = FakeSequence(len(ids) + 3, *rest)
    kept.take(sequence, ids)
    return sequence


def test_what_was_used_longest_ago_goes_first():
    kept, prompts = KeptPrompts(130), [[i] * 40 for i in range(5)]
    first = [taken(kept, ids) for ids in prompts[:3]]
    assert all(sequence.open for sequence in first)
    kept.begin(FakeSequence(0), prompts[0])
    other = taken(kept, prompts[3])
    assert [sequence.open for sequence in first] == [True, False, True] and other.open
    both = taken(kept, prompts[4], (0, -1))  # two streams: 80 slots
    assert [sequence.open for sequence in (*first, other, both)] == [False, False, False, True, True]
    assert kept.clear() and not kept.clear() and not both.open


def test_what_is_not_worth_it_is_given_back():
    kept = KeptPrompts(50)
    assert not taken(kept, [1] * (MIN_KEPT - 1)).open
    assert not taken(kept, [1] * 60, (0, -1, 1, 2)).open  # 12 tokens of each stream
    assert not taken(kept, [1] * 60, (0,), "parent").open
    long = taken(kept, [1] * 60)
    assert long.open and long.streams[0].size == 50  # its beginning
    assert not taken(kept, [1] * 60).open and not taken(kept, [1] * 40).open and long.open
    assert taken(KeptPrompts(100), [1] * 60).open and not taken(KeptPrompts(0), [1] * 60).open


def test_others_of_its_kind_alone_are_begun_with():
    kept = KeptPrompts(500)
    mine = taken(kept, [1] * 40, (0, -1))
    for adapters, expected in (((0, -1), (mine, 39)), ((0,), None), ((1, -1), None)):
        sequence = FakeSequence(0, adapters)
        kept.begin(sequence, [1] * 40)
        assert sequence.begun == expected


@given(st.lists(st.integers(0, 60), max_size=5), st.integers(1, 70))
def test_it_begins_with_the_most_there_is(ends, size):
    prompt, kept = list(range(100, 100 + size)), KeptPrompts(10_000)
    for i, end in enumerate(ends):
        taken(kept, [*prompt[:end], *range(300 + 50 * i, 340 + 50 * i)])
    best = max((min(end, size - 1) for end in ends), default=0)
    sequence = FakeSequence(0)
    kept.begin(sequence, prompt)
    assert (sequence.begun[1] if sequence.begun else 0) == (best if best >= MIN_KEPT else 0)
