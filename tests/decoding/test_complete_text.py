"""Texts that are whole where no end-of-text can say so: they end with "stop", and nothing is lost."""

import pytest

import mindcold
from mindcold.constraints import ConstraintSet, Forbidden, Regex, TextReward, Vocabulary
from tests.decoding.test_not_finite import METHODS

PROMPT = "The farmer"


@pytest.fixture(scope="module")
def llm():
    return mindcold.load("tiny-base", "tiny-steps")


def generate(llm, pattern, method="greedy", **options):
    options = METHODS[method] | {"max_new_tokens": 20, "eos_token_id": -1} | options
    return llm.generate(PROMPT, method, constraint=Regex(pattern), **options)


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_text_ends_in_every_method(llm, method):
    out = generate(llm, "(the|a) (cow|dog)", method)
    assert out.finish_reason == "stop" and out.text.strip() in ("the cow", "the dog", "a cow", "a dog")
    assert out.stats.reward == 1.0 and not out.stats.unmet


@pytest.mark.parametrize("method", ["greedy", "beam", "aded", "cdlh"])
def test_it_is_what_comes_with_an_end_of_text(llm, method):
    """The same text, but for the end itself, and but for beams, whose worth the end is part of."""
    without, ended = generate(llm, "the (cow|dog)", method), generate(llm, "the (cow|dog)", method, eos_token_id=2)
    assert ended.token_ids[-1] == 2
    if method != "beam":
        assert without.token_ids == ended.token_ids[:-1]


def test_a_text_that_may_go_on_goes_on(llm):
    out = generate(llm, "(the ?)+", max_new_tokens=6)
    assert out.finish_reason == "length" and len(out.token_ids) == 6


def test_a_batch_and_a_stream(llm):
    alone = generate(llm, "[0-9]{3}")
    first, second = llm.generate(
        [PROMPT, PROMPT], constraints=[Regex("[0-9]{3}"), Regex("[a-c]{5}")], eos_token_id=-1, max_new_tokens=20
    )
    assert first.token_ids == alone.token_ids and second.finish_reason == "stop"
    tokens = list(llm.stream(PROMPT, constraint=Regex("[0-9]{3}"), eos_token_id=-1, max_new_tokens=20))
    assert "".join(token.text for token in tokens) == alone.text


def test_what_leaves_nothing_but_is_not_whole_stays_an_error(llm):
    with pytest.raises(mindcold.MindcoldError, match="no token is allowed"):
        llm.generate(PROMPT, constraint=[Regex("[0-9]{3}"), Regex("[a-c]+")], eos_token_id=-1, max_new_tokens=9)


def test_complete_is_what_masks_say(llm):
    def state(*constraints):
        found = ConstraintSet.start(constraints, Vocabulary(llm.tokenizer, 2048, ()))
        found.extend(llm.tokenizer.encode("12", add_special_tokens=False))
        return found

    assert state(Regex("12")).complete() and state(Regex("12"), Forbidden(["cow"])).complete()
    assert not state(Regex("12+")).complete() and not state(Regex("123")).complete()
    assert not state(TextReward(lambda text: 1.0)).complete() and not state().complete()
    assert not state(Regex("12"), Regex("123")).complete()  # one is whole, the other is not
