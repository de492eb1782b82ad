"""Speculative contrastive decoding against a naive contrast of two models, and its law against plain sampling."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import mindcold
from mindcold.constraints import Regex
from mindcold.decoding import sampling
from mindcold.decoding.methods.pair_contrast import PairContrast
from mindcold.decoding.request import SelectedToken
from mindcold.errors import RequestError
from mindcold.sampling_params import SamplingParams
from tests.decoding.pairs import chi_square, load_pair, naive_logits, write_noisy

PROMPTS = [[5, 9, 33], [7], [1, 2] * 9]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The expert under an adapter, the keywords of the amateur, and the amateur loaded."""
    llm, draft = load_pair(tmp_path_factory.mktemp("pair"), seed=2)
    amateur = {"amateur": draft["draft"], "draft_adapter": draft["draft_adapter"]}
    return llm, amateur, mindcold.load(draft["draft"], draft["draft_adapter"])


def naive(llm, amateur, prompt, count, alpha, beta):
    """Token by token, contrast of whole texts (O'Brien & Lewis, arXiv 2309.09117)."""
    ids = list(prompt)
    for _ in range(count):
        expert, other = naive_logits(llm, ids), naive_logits(amateur, ids)
        score = np.where(expert >= expert.max() + np.log(alpha), (1 + beta) * expert - beta * other, -np.inf)
        ids.append(int(score.argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("alpha,beta", [(0.1, 0.5), (0.02, 1.5)])
def test_scd_is_the_naive_contrast_of_the_pair(pair, alpha, beta):
    llm, draft, amateur = pair
    saved = 0
    options = draft | {"alpha": alpha, "beta": beta, "max_new_tokens": 16, "eos_token_id": []}
    for prompt in PROMPTS:
        expected = naive(llm, amateur, prompt, 16, alpha, beta)
        plain = llm.generate(prompt, "scd", draft="none", **options)
        assert plain.token_ids == expected
        assert plain.stats.target_passes == plain.stats.draft_passes == 16 and not plain.stats.drafted
        for size in (1, 4, 9, None):
            out = llm.generate(prompt, "scd", draft_tokens=size, **options)
            assert out.token_ids == expected and out.stats.accepted <= out.stats.drafted
            assert size is None or out.stats.accepted < out.stats.drafted
            saved += 16 - out.stats.target_passes
    assert saved > 10
    together = llm.generate(PROMPTS, "scd", **options)
    assert [out.token_ids for out in together] == [naive(llm, amateur, prompt, 16, alpha, beta) for prompt in PROMPTS]


def test_with_the_base_as_amateur_it_is_cold(pair):
    llm, *_ = pair
    for more in ({}, {"alpha": 0.02, "beta": 1.5}, {"repetition_penalty": 1.3}, {"min_new_tokens": 9}):
        cold = llm.generate(PROMPTS, "cold", max_new_tokens=20, **more)
        scd = llm.generate(PROMPTS, "scd", max_new_tokens=20, **more)
        assert [out.token_ids for out in scd] == [out.token_ids for out in cold]
        np.testing.assert_allclose(
            [token.logprob for token in llm.stream([7], "scd", max_new_tokens=9, **more)],
            [token.logprob for token in llm.stream([7], "cold", max_new_tokens=9, **more)],
            atol=1e-5,
        )


def test_an_accepted_draft_takes_one_more_pass_of_the_amateur(tmp_path):
    """The amateur is the expert itself, so that every draft is right: gamma + 1 tokens for gamma + 1 passes of it."""
    llm, _ = load_pair(tmp_path, seed=3)
    same = str(write_noisy(tmp_path / "same", llm.folder, noise=0.0))
    options = {"adapter": "base", "amateur": same, "max_new_tokens": 15, "eos_token_id": []}
    out = llm.generate([5, 9], "scd", draft_tokens=4, **options)
    assert out.token_ids == llm.generate([5, 9], adapter="base", max_new_tokens=15, eos_token_id=[]).token_ids
    assert out.stats.target_passes == 3 and out.stats.draft_passes == 15 and out.stats.accept_lengths[4] == 3


def test_sampling_has_the_law_of_the_contrast(pair):
    """Chi-square of drafted against plain draws of the contrast, over 20 times 20 seeds."""
    llm, draft, _ = pair
    counts, accepted = dict[tuple, list](), [0, 0]
    options = draft | {"do_sample": True, "max_new_tokens": 3, "temperature": 1.5, "eos_token_id": []}
    names: tuple[dict, dict] = {"draft": "none"}, {"draft_tokens": 4}
    for i in range(400):
        for j, name in enumerate(names):
            out = llm.generate([5, 9], "scd", seed=i + 10_000 * j, **options, **name)
            counts.setdefault(tuple(out.token_ids[:2]), [0, 0])[j] += 1
        accepted[0] += out.stats.accepted
        accepted[1] += out.stats.drafted
    statistic, bound = chi_square(counts.values())
    assert statistic < bound and 0 < accepted[0] < accepted[1]


def test_constraints_and_ends(pair):
    llm = mindcold.load("tiny-base", "tiny-steps")
    options = {"amateur": "tiny-draft", "constraint": Regex("(one|two) (red|blue) [a-z]+\\."), "max_new_tokens": 20}
    plain = llm.generate("One day", "scd", draft="none", **options)
    out = llm.generate("One day", "scd", draft_tokens=4, **options)
    assert out.token_ids == plain.token_ids and out.stats.unmet == () and out.stats.drafted > 0
    whole = llm.generate("One day", "scd", amateur="tiny-draft", max_new_tokens=24)
    stop = whole.text[5:9]
    cut = llm.generate("One day", "scd", amateur="tiny-draft", max_new_tokens=24, stop_strings=stop)
    assert cut.text == whole.text[: whole.text.index(stop) + len(stop)]


def test_what_it_refuses(pair, tmp_path):
    llm, draft, _ = pair
    for options, message in (
        ({"draft": "trigram"}, "draft: 'trigram' is not one of amateur, none for method 'scd'"),
        ({"draft": "none", "draft_tokens": 3}, "draft_tokens: method 'scd' has no use for it"),
        ({"amateur": str(tmp_path)}, "config.json"),
    ):
        with pytest.raises(mindcold.MindcoldError, match=message):
            llm.generate([5], "scd", **options)
    with pytest.raises(RequestError, match="amateur: method 'cold' has no use for it"):
        llm.generate([5], "cold", amateur=draft["amateur"])
    short = str(write_noisy(tmp_path / "short", llm.folder, max_position_embeddings=12))
    with pytest.raises(RequestError, match="max_position_embeddings 12"):
        llm.generate([5] * 4, "scd", amateur=short, max_new_tokens=20)


def test_a_forbidden_draft_is_a_refused_one():
    """Its mass goes where the contrast has more than the amateur: passes of made-up models, a token of each request."""
    expert, amateur = np.log([0.5, 0.2, 0.3, 1e-30]).astype(np.float32), np.log([0.1, 0.2, 0.3, 0.4]).astype(np.float32)
    mask = np.array([True, True, True, False])
    masked, counts = np.where(mask, expert, np.float32(-np.inf)), np.zeros(4)
    for index in range(3000):
        params = SamplingParams(do_sample=True, alpha=1e-6, beta=0.0, draft_tokens=1)
        state = SimpleNamespace(params=params, prompt=[1], context=[1], token_ids=[], index=index, sampled=True, room=9)
        state.filter = SimpleNamespace(active=lambda _: True, constrained=False, mask=lambda *_: mask)
        state.draft, state.eos, state.constraints, state.drafted, state.draft_budget = "amateur", (), None, 0, None
        state.count_accepted = lambda _: None
        state.place = partial(sampling.Place, index, 0)
        sequences = [SimpleNamespace(length=0, pending=[], trim=lambda _: None) for _ in range(2)]
        steps = PairContrast(state, sequences).steps()
        item, scores = next(steps), {True: amateur, False: masked}
        while not isinstance(item, SelectedToken):
            found = scores[item.drafting]
            item = steps.send([SimpleNamespace(best=lambda _: None, scores=lambda head=0, row=found: row)])
        counts[item.token] += 1
    np.testing.assert_allclose(counts / 3000, [0.5, 0.2, 0.3, 0.0], atol=0.04)
