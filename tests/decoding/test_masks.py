"""Masks: they hold in every method, by plain and by contrastive scores, alone and in batches."""

import numpy as np
import pytest

import mindcold
from mindcold.constraints import Regex
from mindcold.errors import RequestError
from tests.decoding.fake_constraints import Mask, Narrowing, One
from tests.folders import write_adapter, write_model

PROMPTS = [[5, 9, 33], [7], [11, 12, 13, 14]]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ahead")
    return mindcold.load(write_model(folder / "model", seed=1), write_adapter(folder / "adapter", seed=1))


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
