"""Beam search against a naive one on logits of whole sequences, and at its limits."""

import numpy as np
import pytest

import mindcold
from mindcold.decoding.drafts.beam_draft import LEVELS, BeamDrafts
from tests.decoding.pairs import load_pair, write_noisy
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
        ({"draft": "lookahead"}, "draft"),
        ({"do_sample": True}, "do_sample"),
    ],
)
def test_what_cannot_be(llm, options, message):
    with pytest.raises(mindcold.MindcoldError, match=message):
        llm.generate([5, 9], "beam", **options)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return load_pair(tmp_path_factory.mktemp("beams"), seed=2, noise=0.02)


@pytest.mark.parametrize("more", [{}, {"score": "contrastive", "alpha": 0.2, "beta": 1.0}, {"min_new_tokens": 5}])
@pytest.mark.parametrize("beams", [2, 5])
def test_beams_with_drafts_are_those_without(pair, beams, more):
    """AtSpeed's strict rule (arXiv 2410.05165), drafts by a model, by the base and by tables."""
    llm, draft = pair
    passes = [0, 0]
    for prompt in PROMPTS:
        greedy = llm.generate(prompt, max_new_tokens=10, eos_token_id=[]).token_ids
        for eos in ([], [greedy[3], greedy[8]]):
            options = {"num_beams": beams, "max_new_tokens": 10, "eos_token_id": eos} | more
            plain = llm.generate(prompt, "beam", **options)
            for source in (draft, {"draft": "base"}, {"draft": "trigram"}):
                out = llm.generate(prompt, "beam", **source, **options)
                assert (out.token_ids, out.finish_reason) == (plain.token_ids, plain.finish_reason)
                if source is draft:
                    passes[0] += plain.stats.target_passes
                    passes[1] += out.stats.target_passes
                    assert sum(out.stats.accept_lengths) == out.stats.target_passes
    assert more or passes[1] < 0.8 * passes[0]


def test_a_drafting_model_whose_context_is_nearly_full(pair, tmp_path):
    """Its trees are no deeper than its context, and their nodes, more than it holds, have room all the same."""
    llm, _ = pair
    short = str(write_noisy(tmp_path / "short", llm.folder, max_position_embeddings=12))
    options = {"num_beams": 4, "max_new_tokens": 10, "eos_token_id": []}
    for prompt in ([1, 2] * 5, [5] * 11):
        plain = llm.generate(prompt, "beam", **options)
        assert llm.generate(prompt, "beam", draft=short, draft_tokens=40, **options).token_ids == plain.token_ids
        greedy = llm.generate(prompt, max_new_tokens=10, eos_token_id=[])
        tree = {"draft": short, "draft_tokens": 40, "draft_width": 8, "max_new_tokens": 10, "eos_token_id": []}
        assert llm.generate(prompt, **tree).token_ids == greedy.token_ids


def test_beams_with_drafts_in_a_mixed_batch(pair):
    llm, draft = pair
    options = {"num_beams": 3, "max_new_tokens": 9, "eos_token_id": []}
    requests = [mindcold.Request(prompt, "beam", **draft, **options) for prompt in PROMPTS]
    requests += [mindcold.Request(PROMPTS[0], "cold", **draft, max_new_tokens=9, eos_token_id=[])]
    together = llm.generate(requests)
    for request, out in zip(requests, together, strict=True):
        assert out.token_ids == llm.generate(request).token_ids


def test_a_draft_that_is_the_model_saves_all_it_can(pair, tmp_path):
    """Drafts of the same weights, wider than the beams: every step drafted is verified."""
    llm, _ = pair
    same = str(write_noisy(tmp_path / "same", llm.folder, noise=0.0))
    options = {"adapter": "base", "num_beams": 3, "max_new_tokens": 12, "eos_token_id": []}
    plain = llm.generate([5, 9], "beam", **options)
    out = llm.generate([5, 9], "beam", draft=same, **options)
    assert out.token_ids == plain.token_ids
    assert plain.stats.target_passes == 12
    assert out.stats.target_passes == 12 // (LEVELS + 1)  # the steps that are drafted, and one more


def test_what_the_target_has_said_begins_the_next_trees(pair, monkeypatch):
    """The same beams in fewer passes than from the model's opinion alone, and in fewer passes of that model."""
    llm, draft = pair
    options = draft | {"num_beams": 4, "max_new_tokens": 16, "eos_token_id": []}
    found = {}
    for name in ("with", "without"):
        if name == "without":
            monkeypatch.setattr(BeamDrafts, "learn", lambda *_: None)
        found[name] = [llm.generate(prompt, "beam", **options) for prompt in PROMPTS]
    pairs = zip(found["with"], found["without"], strict=True)
    assert all([text.token_ids for text in a.ranked] == [text.token_ids for text in b.ranked] for a, b in pairs)
    for count in ("target_passes", "draft_passes"):
        with_it, without = (sum(getattr(out.stats, count) for out in found[name]) for name in ("with", "without"))
        assert with_it < without, count
