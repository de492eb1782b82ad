"""Best of several samples against samples drawn one by one, and beams in the order of their rewards."""

import pytest

import mindcold
from mindcold.constraints import TextReward
from tests.folders import load_random

PROMPT = "The farmer"
DRAWN = {"do_sample": True, "temperature": 1.2, "seed": 3, "max_new_tokens": 12}


@pytest.fixture(scope="module")
def tiny():
    return mindcold.load("tiny-base")


def letters(text):
    """A reward that differs between texts."""
    return text.count("e") / (1 + len(text))


def test_one_sample_is_the_method_sample(tiny):
    options = {"temperature": 1.2, "seed": 3, "max_new_tokens": 12, "top_k": 40}
    one = tiny.generate([PROMPT, "One day"], "best_of", num_candidates=1, **options)
    assert [out.token_ids for out in one] == [
        out.token_ids for out in tiny.generate([PROMPT, "One day"], "sample", **options)
    ]
    assert all(out.ranked[0].token_ids == out.token_ids and out.ranked[0].text == out.text for out in one)


def test_the_one_of_the_highest_reward_is_given(tiny):
    """More samples keep the first ones: the random numbers depend on the number of the sample, not on how many."""
    few, many = (
        tiny.generate(PROMPT, "best_of", num_candidates=count, constraint=letters, **DRAWN) for count in (3, 9)
    )
    assert len(few.ranked) == 3 and len(many.ranked) == 9 and len({tuple(item.token_ids) for item in many.ranked}) > 4
    assert {tuple(item.token_ids) for item in few.ranked} <= {tuple(item.token_ids) for item in many.ranked}
    for out in (few, many):
        rewards = [letters(item.text) for item in out.ranked]
        assert rewards == sorted(rewards, reverse=True) == [item.reward for item in out.ranked]
        assert out.token_ids == out.ranked[0].token_ids and out.stats.reward == rewards[0]
    assert many.stats.reward > few.stats.reward or many.token_ids == few.token_ids


def test_where_rewards_are_equal_the_likelier_text_is_given(tiny):
    out = tiny.generate(PROMPT, "best_of", num_candidates=6, constraint=lambda text: 0.5, **DRAWN)
    means = [item.score for item in out.ranked]
    assert means == sorted(means, reverse=True) and means[0] > means[-1]
    free = tiny.generate(PROMPT, "best_of", num_candidates=6, **DRAWN)
    assert free.token_ids == out.token_ids and {item.reward for item in free.ranked} == {1.0}


def test_texts_are_ranked_as_they_end_at_stop_strings(tiny):
    seen = []
    out = tiny.generate(
        PROMPT,
        "best_of",
        num_candidates=8,
        stop_strings=["e"],
        constraint=TextReward(lambda text: seen.append(text) or len(text) / 100),
        **DRAWN,
    )
    assert out.text == max((item.text for item in out.ranked), key=len)
    assert all(item.text.count("e") <= 1 and item.text.find("e") in (-1, len(item.text) - 1) for item in out.ranked)
    assert out.finish_reason == "stop" and any(item.text.endswith("e") for item in out.ranked)


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_random(tmp_path_factory.mktemp("best"), seed=2)


def test_samples_share_the_prompt_and_batches_change_nothing(llm, monkeypatch):
    prompts, used, run = [[5 + i % 50 for i in range(200)], [7]], [], llm.engine.run

    def watched(plan, *arguments):
        used.append(llm.engine.used_slots)
        return run(plan, *arguments)

    monkeypatch.setattr(llm.engine, "run", watched)
    options = {"num_candidates": 8, "max_new_tokens": 6, "seed": 1}
    alone = llm.generate(prompts[0], "best_of", **options)
    assert max(used) <= 200 + 8 * 6 and llm.engine.used_slots == 0
    for score in ("plain", "contrastive"):
        requests = [mindcold.Request(prompt, "best_of", score=score, **options) for prompt in prompts]
        outs = llm.generate([*requests, mindcold.Request([5], "beam", max_new_tokens=5)])
        assert score == "contrastive" or outs[0].token_ids == alone.token_ids
        first = llm.generate(requests[0])
        assert first.token_ids == outs[0].token_ids and first.ranked == outs[0].ranked


def test_beams_in_the_order_of_their_rewards(tiny):
    options = {"num_beams": 5, "max_new_tokens": 12}
    plain = tiny.generate(PROMPT, "beam", **options)
    scores = [item.score for item in plain.ranked]
    assert scores == sorted(scores, reverse=True) and len(scores) == 5
    assert plain.token_ids == plain.ranked[0].token_ids and plain.ranked[0].reward is None
    ranked = tiny.generate(PROMPT, "beam", rerank=True, constraint=letters, **options)
    assert {tuple(item.token_ids) for item in ranked.ranked} == {tuple(item.token_ids) for item in plain.ranked}
    rewards = [letters(item.text) for item in plain.ranked]
    assert ranked.text == plain.ranked[rewards.index(max(rewards))].text != plain.text
    even = tiny.generate(PROMPT, "beam", rerank=True, constraint=lambda text: 0.5, **options)
    assert [item.token_ids for item in even.ranked] == [item.token_ids for item in plain.ranked]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("beam", {"rerank": True}, "rerank: beams are ranked by a constraint"),
        ("greedy", {"rerank": True, "constraint": ["a"]}, "rerank: method 'greedy' has no use for it"),
        ("greedy", {"num_candidates": 3}, "num_candidates: method 'greedy' has no use for it"),
        ("best_of", {"num_candidates": 65}, "num_candidates: an integer from 1 to 64"),
        ("best_of", {"draft": "trigram"}, "draft: 'trigram' is not one of none"),
    ],
)
def test_what_cannot_be(tiny, method, options, message):
    with pytest.raises(mindcold.MindcoldError, match=f"^{message}"):
        tiny.generate(PROMPT, method, **options)
