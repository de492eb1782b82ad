"""Drafts by a second model change nothing but the number of passes; drawn ones keep the law."""

import numpy as np
import pytest

import mindcold
from mindcold.constraints import Regex
from mindcold.decoding import sampling
from mindcold.decoding.drafts.model_draft import ModelDrafts
from mindcold.errors import RequestError
from tests.decoding.pairs import METHODS, chi_square, load_pair, naive_logits, write_noisy
from tests.folders import write_adapter, write_model

DRAFTS = {
    "chain": {"draft_tokens": 5},
    "tree": {"draft_tokens": 9, "draft_width": 3},
    "as it pays": {},
}
PROMPTS = [[5, 9, 33], [7], [1, 2] * 9]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return load_pair(tmp_path_factory.mktemp("pair"))


@pytest.mark.parametrize("shape", DRAFTS)
@pytest.mark.parametrize("name", METHODS)
def test_drafts_leave_the_tokens_as_they_are(pair, name, shape):
    llm, draft = pair
    options = METHODS[name] | {"max_new_tokens": 24}
    plain = llm.generate(PROMPTS, **options)
    for source in (draft, {"draft": "base"}):
        outs = llm.generate(PROMPTS, **source, **DRAFTS[shape], **options)
        assert [out.token_ids for out in outs] == [out.token_ids for out in plain]
        assert [out.finish_reason for out in outs] == [out.finish_reason for out in plain]
    alone = llm.generate(PROMPTS[0], **draft, **DRAFTS[shape], **options)
    assert alone.token_ids == plain[0].token_ids
    if shape != "as it pays" and name == "greedy":
        assert 0 < alone.stats.accepted < alone.stats.drafted and alone.stats.draft_passes > 0
        assert alone.stats.target_passes < len(alone.token_ids)


def test_a_model_drafts_for_itself_what_it_says(tmp_path):
    """The same weights and adapter: every draft is right, so that keys and values of both are."""
    model, adapter = write_model(tmp_path / "m", seed=3), write_adapter(tmp_path / "a", seed=3)
    llm = mindcold.load(model, adapter)
    plain = llm.generate([5, 9, 33], max_new_tokens=30, eos_token_id=[])
    options = {"draft": str(model), "draft_adapter": str(adapter), "max_new_tokens": 30, "eos_token_id": []}
    out = llm.generate([5, 9, 33], draft_tokens=4, **options)
    assert out.token_ids == plain.token_ids and out.stats.accept_lengths[4] == 6 == out.stats.target_passes
    assert out.stats.draft_passes == 24 and out.stats.accepted == out.stats.drafted
    drawn = llm.generate([5, 9, 33], "sample", draft_tokens=4, draft_sample=True, temperature=1.2, seed=4, **options)
    assert drawn.stats.accepted == drawn.stats.drafted  # p / q is 1
    other = llm.generate([5, 9, 33], draft=str(model), draft_tokens=4, max_new_tokens=30, eos_token_id=[])
    assert other.token_ids == plain.token_ids and other.stats.accepted < other.stats.drafted  # without the adapter


def test_a_tree_is_of_the_likeliest_paths(tmp_path, monkeypatch):
    """Against all that a search by naive logits of the drafting model looks at (EAGLE-2, arXiv 2406.16858)."""
    model = write_model(tmp_path / "m", seed=3, vocab_size=64)
    llm, seen, draft = mindcold.load(model), [], ModelDrafts.draft

    def recorded(self, room):
        pair = yield from draft(self, room)
        seen.append((list(self._state.context), pair[0]))
        return pair

    monkeypatch.setattr(ModelDrafts, "draft", recorded)
    options = {"max_new_tokens": 12, "eos_token_id": [11], "draft": str(model)}
    depths, wide = set(), False
    for count, width in ((9, 3), (12, 2), (5, 8)):
        llm.generate([5, 9, 33], draft_tokens=count, draft_width=width, **options)
        for text, tree in seen:
            found, frontier = {}, {(): 1.0}
            depth = 12 - (len(text) - 3) - 1
            for _ in range(min(depth, -(-count // width))):
                new = {}
                for path, above in frontier.items():
                    logits = naive_logits(llm, [*text, *path])
                    law = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
                    new |= {(*path, int(token)): above * law[token] for token in np.argsort(-law)[:width]}
                found |= new
                best = sorted(new, key=lambda path, new=new: -new[path])[:width]
                frontier = {path: new[path] for path in best if path[-1] != 11}
            expected = sorted(found, key=lambda path: -found[path])[:count]
            assert tree.paths() == expected
            wide |= len(expected) > depth > 0
            np.testing.assert_allclose(tree.probabilities, [found[path] for path in expected], rtol=1e-3)
            depths |= {len(path) for path in expected}
        seen.clear()
    assert len(depths) > 2 and wide  # near the end trees have more nodes than tokens may come


def test_drawn_drafts_keep_the_law(pair):
    """Chi-square over two tokens from few; and drafts are accepted about as often as the laws overlap."""
    llm, draft = pair
    counts, accepted = dict[tuple, list](), [0, 0]
    options = {"max_new_tokens": 3, "top_k": 4, "temperature": 1.5, "eos_token_id": []}
    for i in range(400):
        for j, more in enumerate(({}, draft | {"draft_sample": True, "draft_tokens": 2})):
            out = llm.generate([5, 9], "sample", seed=i + 10_000 * j, **more, **options)
            counts.setdefault(tuple(out.token_ids), [0, 0])[j] += 1
        accepted[0] += out.stats.accepted
        accepted[1] += out.stats.drafted
    statistic, bound = chi_square(counts.values())
    assert statistic < bound and 0.2 * accepted[1] < accepted[0] < 0.95 * accepted[1]


def test_modified_rejection_draws_from_the_target():
    """Exact over many positions, for laws that overlap in part, and where the target forbids the draft."""
    p, q = np.array([0.5, 0.2, 0.3, 0.0]), np.array([0.1, 0.2, 0.3, 0.4])
    found = []
    for position in range(4000):
        token = sampling.draw(q, 7, 0, position, sampling.DRAFT)
        found.append(sampling.verify_drawn(p, q, token, 7, 0, position))
    counts = np.bincount(found, minlength=4) / len(found)
    np.testing.assert_allclose(counts, p, atol=0.03)
    assert counts[3] == 0


@pytest.mark.parametrize("method", ["greedy", "cold", "cdlh"])
def test_constraints_with_drafts_by_a_model(method):
    """The drafting model is told what may come: drafts under a constraint are of what is allowed."""
    llm = mindcold.load("tiny-base", "tiny-steps")
    options = {
        "method": method,
        "constraint": Regex("(one|two|three) (red|blue) [a-z]+ [0-9]+\\."),
        "max_new_tokens": 24,
    }
    options |= {"candidates": 3, "lookahead": 4} if method == "cdlh" else {}
    size = {"draft_tokens": 5} if method != "cdlh" else {}
    plain = llm.generate("One day", draft="none", **options)
    out = llm.generate("One day", draft="tiny-draft", **size, **options)
    assert out.token_ids == plain.token_ids
    if method == "greedy":
        assert out.stats.accepted > 0


def test_a_model_guesses_at_rollouts():
    llm = mindcold.load("tiny-base", "tiny-keywords")
    options = {"constraint": ["king", "river"], "max_new_tokens": 16, "candidates": 4, "lookahead": 6}
    plain = llm.generate("The", "cdlh", draft="none", **options)
    out = llm.generate("The", "cdlh", draft="tiny-draft", **options)
    assert out.token_ids == plain.token_ids
    assert out.stats.draft_passes > 0 and out.stats.target_passes < plain.stats.target_passes


def test_stop_strings_and_full_contexts(pair):
    llm, draft = pair
    shipped = mindcold.load("tiny-base", "tiny-steps")
    whole = shipped.generate("One day", max_new_tokens=30)
    stop = whole.text[6:10]
    out = shipped.generate("One day", max_new_tokens=30, draft="tiny-draft", draft_tokens=6, stop_strings=stop)
    assert out.text == whole.text[: whole.text.index(stop) + len(stop)] and out.finish_reason == "stop"
    prompt = list(range(3, 63)) * 4  # 240 of 256 positions
    plain = llm.generate(prompt, max_new_tokens=64, eos_token_id=[])
    full = llm.generate(prompt, max_new_tokens=64, eos_token_id=[], **draft, draft_tokens=7)
    assert full.token_ids == plain.token_ids and len(full.token_ids) == 16 and full.finish_reason == "length"


def test_a_short_context_of_the_draft(pair, tmp_path):
    """It drafts as far as its context goes, and a prompt that it cannot hold is refused."""
    llm, draft = pair
    short = str(write_noisy(tmp_path / "short", llm.folder, max_position_embeddings=12))
    plain = llm.generate([5, 9, 33], max_new_tokens=24, eos_token_id=[])
    out = llm.generate([5, 9, 33], max_new_tokens=24, eos_token_id=[], draft=short, draft_tokens=3)
    long = llm.generate([5, 9, 33], max_new_tokens=24, eos_token_id=[], **draft, draft_tokens=3)
    assert out.token_ids == plain.token_ids == long.token_ids and 0 < out.stats.drafted <= 27 < long.stats.drafted
    with pytest.raises(RequestError, match="its max_position_embeddings 12 do not hold a prompt of 13 tokens"):
        llm.generate(list(range(3, 15)), draft=short)


def test_what_cannot_draft_is_refused(pair, tmp_path):
    llm, draft = pair
    other = str(write_model(tmp_path / "other", vocab_size=60))
    with pytest.raises(RequestError, match="vocab_size is 60, but the model has 64"):
        llm.generate([5], draft=other)
    with pytest.raises(RequestError, match="'trigarm' is neither a draft nor a model"):
        llm.generate([5], draft="trigarm")
    with pytest.raises(RequestError, match="draft_sample: drafts are drawn for drawn tokens"):
        llm.generate([5], **draft, draft_sample=True)
    with pytest.raises(RequestError, match="draft_width: method 'greedy' has no use for it"):
        llm.generate([5], draft="trigram", draft_width=2)
    with pytest.raises(RequestError, match="draft_adapter: the base drafts without one"):
        llm.generate([5], draft="base", draft_adapter="tiny-steps")
    large = str(write_model(tmp_path / "large", vocab_size=64, hidden_size=64, num_hidden_layers=3))
    with pytest.warns(UserWarning, match="larger than the model it drafts for"):
        llm.generate([5], draft=large, max_new_tokens=2)
