"""Beam search against a naive one on logits of whole sequences, and at its limits."""

import numpy as np
import pytest

import mindcold
from tests.folders import load_random

PROMPTS = [[5, 9, 33], [7], [11, 12, 13, 14]]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_random(tmp_path_factory.mktemp("beam"), seed=2)


def logprobs(llm, ids, contrast):
    scores = llm.logits(ids)[-1]
    if contrast:
        alpha, beta = contrast
        base = llm.logits(ids, adapter="base")[-1]
        scores = np.where(
            scores >= scores.max() + np.float32(np.log(alpha)), (1 + beta) * scores - beta * base, -np.inf
        )
    wide = scores.astype(np.float64)
    return wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())


def naive(llm, prompt, beams, penalty, eos, budget, contrast=None):
    """All continuations of all beams, sorted; the rules of `transformers`."""
    living, ended = [(0.0, [])], []
    for length in range(1, budget + 1):
        grown = []
        for number, (total, ids) in enumerate(living):
            row = logprobs(llm, prompt + ids, contrast)
            grown += [(total + row[token], number, token) for token in range(len(row)) if np.isfinite(row[token])]
        grown.sort(key=lambda item: (-item[0], item[1], item[2]))
        grown = [(total, [*living[number][1], token]) for total, number, token in grown]
        ended += [(total / length**penalty, ids) for total, ids in grown[:beams] if ids[-1] in eos]
        ended = sorted(ended, key=lambda item: -item[0])[:beams]
        living = [item for item in grown[: beams * (1 + len(eos))] if item[1][-1] not in eos][:beams]
        if len(ended) == beams and living and living[0][0] / length**penalty < ended[-1][0]:
            living = []
        if not living:
            break
    ended += [(total / len(ids) ** penalty, ids) for total, ids in living]
    return max(ended, key=lambda item: item[0])[1]


@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.0])
@pytest.mark.parametrize("beams", [2, 5])
def test_beam_is_the_naive_search(llm, beams, penalty):
    changed, stopped = False, 0
    for prompt in PROMPTS:
        greedy = llm.generate(prompt, max_new_tokens=8, eos_token_id=[]).token_ids
        for eos in ([], [greedy[3]], [greedy[2], 40]):
            options = {"num_beams": beams, "length_penalty": penalty, "max_new_tokens": 8, "eos_token_id": eos}
            out = llm.generate(prompt, "beam", **options)
            assert out.token_ids == naive(llm, prompt, beams, penalty, eos, 8)
            assert out.finish_reason == ("stop" if out.token_ids[-1] in eos else "length")
            changed |= out.token_ids != greedy[: len(out.token_ids)]
            stopped += out.finish_reason == "stop"
    assert changed and (stopped or penalty == 2.0)  # which rewards length


def test_ends_count_among_the_best_beams_only(llm):
    """Prompts whose ends of text rank behind the beams: kept they would win, since they are short."""
    for prompt, eos in (([58, 47, 26, 29], [9, 4]), ([13], [61, 48]), ([29], [39, 38, 5])):
        options = {"num_beams": 2, "length_penalty": 0.0, "max_new_tokens": 8, "eos_token_id": eos}
        out = llm.generate(prompt, "beam", **options)
        assert out.token_ids == naive(llm, prompt, 2, 0.0, eos, 8) and len(out.token_ids) == 8


def test_beam_by_contrastive_scores(llm):
    for prompt in PROMPTS:
        out = llm.generate(
            prompt, "beam", num_beams=3, score="contrastive", alpha=0.2, beta=1.0, max_new_tokens=6, eos_token_id=[]
        )
        assert out.token_ids == naive(llm, prompt, 3, 1.0, [], 6, (0.2, 1.0))


def test_one_beam_is_greedy_and_batches_change_nothing(llm):
    for score, method in (("plain", "greedy"), ("contrastive", "cold")):
        plain = llm.generate(PROMPTS, method, max_new_tokens=12, eos_token_id=[])
        outs = llm.generate(PROMPTS, "beam", num_beams=1, score=score, max_new_tokens=12, eos_token_id=[])
        assert [out.token_ids for out in outs] == [out.token_ids for out in plain]
        assert outs[0].stats.target_passes <= 13
    together = llm.generate(PROMPTS, "beam", max_new_tokens=12)
    assert [out.token_ids for out in together] == [
        llm.generate(prompt, "beam", max_new_tokens=12).token_ids for prompt in PROMPTS
    ]
    assert llm.engine.used_slots == 0


def test_beams_share_the_prompt(llm, monkeypatch):
    """Eight beams of a long prompt: its keys and values are there once, and only new tokens are copied."""
    prompt, used, moved, run = [5 + i % 50 for i in range(200)], [], [], llm.engine.run

    def watched(plan, *arguments):
        used.append(llm.engine.used_slots)
        moved.append(len(llm.engine._moves))
        return run(plan, *arguments)

    monkeypatch.setattr(llm.engine, "run", watched)
    llm.generate(prompt, "beam", num_beams=8, max_new_tokens=6, eos_token_id=[])
    assert max(used) <= 200 + 8 * 6 and 0 < max(moved) <= 8 * 5


def test_a_long_prompt_is_fed_in_parts(llm):
    prompt = [5 + i % 50 for i in range(200)]
    out = llm.generate(prompt, "beam", num_beams=2, score="contrastive", max_new_tokens=3, eos_token_id=[])
    assert out.token_ids == naive(llm, prompt, 2, 1.0, [], 3, (0.1, 0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 65}, "num_beams"),
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"draft": "trigram"}, "draft"),
        ({"do_sample": True}, "do_sample"),
    ],
)
def test_what_cannot_be(llm, options, message):
    with pytest.raises(mindcold.MindcoldError, match=message):
        llm.generate([5, 9], "beam", **options)
