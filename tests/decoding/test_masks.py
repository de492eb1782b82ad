"""Masks: they hold in every method, by plain and by contrastive scores, alone and in batches."""

import numpy as np
import pytest

import mindcold
from mindcold.constraints import Regex
from mindcold.errors import RequestError
from tests.decoding.fake_constraints import Mask, Narrowing, One
from tests.folders import load_random

PROMPTS = [[5, 9, 33], [7], [11, 12, 13, 14]]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_random(tmp_path_factory.mktemp("ahead"), seed=1)


MASKED = [
    {"method": "greedy"},
    {"method": "sample"},
    {"method": "aded"},
    {"method": "cold"},
    {"method": "cold", "draft": "trigram"},
    {"method": "beam"},
]


@pytest.mark.parametrize("options", MASKED)
def test_masks_hold_in_every_method(llm, options):
    allowed = {3, 17, 29, 40}
    for prompt in PROMPTS:
        out = llm.generate(prompt, constraint=Mask(allowed), max_new_tokens=12, **options)
        assert set(out.token_ids) <= allowed and out.stats.reward == 1.0


@pytest.mark.parametrize("score", ["plain", "contrastive"])
@pytest.mark.parametrize("method", ["cdlh", "cdsl"])
def test_masks_hold_while_looking_ahead(llm, method, score):
    allowed = Mask({3, 17, 29, 40})
    out = llm.generate([5, 9], method, constraint=allowed, max_new_tokens=12, lookahead=3, score=score)
    assert set(out.token_ids) <= {3, 17, 29, 40}
    plain = "cold" if score == "contrastive" else "greedy"  # the mask is all it wishes
    assert out.token_ids == llm.generate([5, 9], plain, constraint=allowed, max_new_tokens=12).token_ids


@pytest.mark.parametrize("draft", ["none", "trigram"])
def test_cold_under_a_mask_is_cut_among_what_is_allowed(llm, draft):
    """Against logits of whole sequences; the unmasked cut would leave nothing, or something else."""
    allowed, alpha, beta, moved = np.array(sorted({3, 17, 29, 40, 41, 55, 70})), 0.3, 2.0, 0
    for prompt in PROMPTS:
        out = llm.generate(
            prompt, "cold", constraint=Mask(allowed.tolist()), alpha=alpha, beta=beta, draft=draft, max_new_tokens=12
        )
        ids = list(prompt)
        for token in out.token_ids:
            expert, base = llm.logits(ids)[-1], llm.logits(ids, adapter="base")[-1]
            there = expert[allowed]
            score = np.where(
                there >= there.max() + np.log(alpha), (1 + beta) * there - beta * base[allowed], np.float32(-np.inf)
            )
            assert token == allowed[score.argmax()]
            moved += not np.isfinite(score).all() and score.argmax() != there.argmax()
            ids.append(token)
    assert moved


def test_each_prompt_may_have_constraints_of_its_own(llm):
    masks = [Mask({3, 17}), None, [Mask({5, 6}), One(())]]
    outs = llm.generate(PROMPTS, constraints=masks, max_new_tokens=6, eos_token_id=[])
    assert set(outs[0].token_ids) <= {3, 17} and set(outs[2].token_ids) <= {5, 6}
    assert outs[1].token_ids == llm.generate(PROMPTS[1], max_new_tokens=6, eos_token_id=[]).token_ids
    both = llm.generate(PROMPTS[:2], constraint=Mask({3, 17, 29}), constraints=[Mask({3, 5}), None], max_new_tokens=6)
    assert set(both[0].token_ids) == {3} and set(both[1].token_ids) <= {3, 17, 29}


def test_a_mask_without_anything_is_an_error(llm):
    with pytest.raises(RequestError, match="Mask: no token is allowed"):
        llm.generate(PROMPTS, constraint=Mask(()), max_new_tokens=4)
    outs = llm.generate(PROMPTS, constraint=Narrowing(range(96)), max_new_tokens=9)
    assert [out.finish_reason for out in outs] == ["error"] * 3
    assert all("no token is allowed" in out.stats.error and len(out.token_ids) == 2 for out in outs)


def test_a_pattern_is_kept_by_the_shipped_model():
    shipped = mindcold.load("tiny-base", "tiny-steps")
    prompt = "Question: Tom has 12 apples. Tom buys 9 more apples. How many apples does Tom have now? Answer:"
    for method in ("greedy", "aded", "cdlh"):
        out = shipped.generate(
            prompt, method, constraint=Regex("[0-9]{2} [+*-] [0-9] = [0-9]{2}\\."), max_new_tokens=24
        )
        assert out.text.strip().startswith("12 ") and out.text.endswith(".") and out.finish_reason == "stop"


@pytest.mark.parametrize(
    "options", [{}, {"do_sample": True, "seed": 3}, {"draft": "trigram"}, {"draft_tokens": 5, "draft": "trigram"}]
)
def test_minimum_length_acts_before_the_cut(llm, options):
    """CoLD whose expert is sure of the end: without it, the cut is taken among what is left."""
    first = llm.generate(PROMPTS[0], "cold", alpha=1.0, max_new_tokens=1).token_ids[0]
    settings = {"alpha": 1.0, "eos_token_id": [first], "min_new_tokens": 6, "max_new_tokens": 12}
    out = llm.generate(PROMPTS[0], "cold", **settings, **options)
    assert first not in out.token_ids[:6] and len(out.token_ids) > 6
    logits = llm.logits(PROMPTS[0])[-1]
    logits[first] = -np.inf
    assert out.token_ids[0] == logits.argmax()  # alpha = 1 keeps the best alone


@pytest.mark.parametrize("score", ["plain", "contrastive"])
@pytest.mark.parametrize("method", ["beam", "cdlh", "cdsl"])
def test_minimum_length_in_searches(llm, method, score):
    options = {"score": score} | ({"alpha": 1.0} if score == "contrastive" else {})  # the cut keeps the best alone
    first = llm.generate(PROMPTS[0], method, max_new_tokens=1, **options).token_ids[0]
    options |= {"eos_token_id": [first], "min_new_tokens": 6, "max_new_tokens": 9}
    out = llm.generate(PROMPTS[0], method, **options)
    assert first not in out.token_ids[:6] and len(out.token_ids) > 6


@pytest.mark.parametrize("options", [*MASKED, {"method": "cdlh"}, {"method": "cdsl"}])
def test_words_that_never_come(llm, options):
    plain = llm.generate(PROMPTS[0], "greedy", max_new_tokens=8, eos_token_id=[]).token_ids
    kept = {"max_new_tokens": 8, "eos_token_id": []}
    out = llm.generate(PROMPTS[0], suppress_tokens=plain[:2], **kept, **options)
    assert not {*plain[:2]} & {*out.token_ids} and len(out.token_ids) == 8
    out = llm.generate(PROMPTS[0], bad_words_ids=[plain[2:4], [*PROMPTS[0], plain[0]]], **kept, **options)
    pairs = list(zip(out.token_ids, out.token_ids[1:], strict=False))
    assert tuple(plain[2:4]) not in pairs and out.token_ids[0] != plain[0]


def test_greedy_without_bad_words_is_the_best_of_the_rest(llm):
    ids, banned = list(PROMPTS[1]), [3, 17, 29, 40]
    out = llm.generate(PROMPTS[1], suppress_tokens=banned, bad_words_ids=[[5, 6]], max_new_tokens=10, eos_token_id=[])
    for token in out.token_ids:
        logits = llm.logits(ids)[-1]
        logits[banned] = -np.inf
        if ids[-1] == 5:
            logits[6] = -np.inf
        assert token == logits.argmax()
        ids.append(token)


def test_nothing_left_is_an_error_that_says_so(llm):
    with pytest.raises(RequestError, match="no token is allowed here"):
        llm.generate([5], suppress_tokens=list(range(96)), max_new_tokens=2)
    for keywords, message in (
        ({"suppress_tokens": [96]}, "suppress_tokens: 96 is not a token id"),
        ({"bad_words_ids": [[]]}, "bad_words_ids: lists of at least one id"),
        ({"bad_words_ids": [3]}, "bad_words_ids: a list of token ids is expected"),
    ):
        with pytest.raises(RequestError, match=message):
            llm.generate([5], **keywords)


def test_drafts_under_masks_lose_what_may_not_come(llm, monkeypatch):
    """A drafter that has learned forbidden tokens proposes none of them; the tokens are those without drafts."""
    allowed, drafted, run = Mask(range(0, 96, 2)), [], llm.engine.run

    def watched(plan, *arguments):
        drafted.extend(token for _, _, token, _ in plan.heads if token >= 0)
        return run(plan, *arguments)

    monkeypatch.setattr(llm.engine, "run", watched)
    plain = llm.generate(PROMPTS, constraint=allowed, max_new_tokens=20, eos_token_id=[])
    texts = [out.token_ids for out in plain] * 3
    llm.warm_drafts([*texts, *([token, odd] for text in texts for token in text for odd in (1, 3))])
    outs = llm.generate(PROMPTS, "aded", constraint=allowed, max_new_tokens=20, eos_token_id=[], draft_tokens=8)
    llm.forget_drafts()
    assert [out.token_ids for out in outs] == [out.token_ids for out in plain]
    assert all(out.stats.accepted > 5 for out in outs)
    assert drafted and not any(token % 2 for token in drafted)
