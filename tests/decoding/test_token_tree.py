"""Drafts change nothing but the number of passes: token ids with any drafter equal those without, in every method."""

import random

import numpy as np
import pytest

import mindcold
import mindcold.builder
from mindcold.drafting import Draft
from mindcold.engine import StepPlan
from mindcold.errors import RequestError
from mindcold.ops import contrastive_score
from tests.decoding.pairs import METHODS
from tests.folders import load_random, write_adapter, write_model

VOCAB = 64


class Scripted:
    """A drafter that knows the true continuation and uses it well, badly or not at all."""

    truth: list[int] = []
    prompt = 0
    kind = "oracle"
    best = 3
    size = None
    made: list = []

    def __init__(self, tables, key, search, adaptation):
        self.random = random.Random(repr(key))
        self.seen = []
        self.made.append(self)

    def propose(self, ids, budget, floor=0.0):
        ahead = self.truth[len(ids) - self.prompt :]
        if self.kind == "oracle":
            tokens = ahead[:budget]
            return Draft.chain(tokens)
        if self.kind == "past the end":
            return Draft.chain((ahead + [2] * budget)[:budget])
        if self.kind == "wrong":
            return Draft.chain([(token + 1) % VOCAB for token in (ahead or [0])][:budget])
        if self.kind == "half right":
            right = self.random.randrange(budget + 1)
            return Draft.chain((ahead[:right] + [self.random.randrange(VOCAB) for _ in range(budget)])[:budget])
        if self.kind == "one":
            return Draft.chain([(ahead or [0])[0]])
        return self.tree(ahead, budget)

    def tree(self, ahead, budget):
        """A random tree; every node has the true token among its children half of the time."""
        draft, levels, taken = Draft(), [], set()
        for i in range(budget):
            parent = self.random.randrange(-1, i)
            level = 0 if parent < 0 else levels[parent] + 1
            token = self.random.randrange(VOCAB)
            if level < len(ahead) and self.random.random() < 0.5:
                token = ahead[level]
            if (parent, token) in taken:
                token = next(t for t in range(VOCAB) if (parent, t) not in taken)
            taken.add((parent, token))
            levels.append(level)
            draft.tokens.append(token)
            draft.parents.append(parent)
            draft.probabilities.append(1.0)
        return draft

    def observe(self, ids, new, rows=None):
        """The best tokens of every row come with what was decided, the choice first."""
        if rows is None:
            return
        assert rows.best.shape == rows.logprobs.shape == (1 + len(rows.tokens), 3)
        assert len(rows.parents) == len(rows.tokens) and (rows.logprobs[:, 1:] <= rows.logprobs[:, :-1]).all()
        self.seen.append((list(ids), new, rows))

    def path(self, ids, length, floor=0.0):
        return []


@pytest.fixture(scope="module", params=[1, 2])
def llm(request, tmp_path_factory):
    """A random model whose greedy output is not a short cycle."""
    return load_random(tmp_path_factory.mktemp(f"drafts{request.param}"), seed=request.param)


@pytest.mark.parametrize("kind", ["oracle", "wrong", "half right", "past the end", "one", "tree"])
@pytest.mark.parametrize("name", METHODS)
def test_any_draft_leaves_the_tokens_as_they_are(llm, name, kind, monkeypatch):
    prompt, options = [5, 9, 33], METHODS[name] | {"max_new_tokens": 24}
    plain = llm.generate(prompt, **options)
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain.token_ids)
    monkeypatch.setattr(Scripted, "prompt", len(prompt))
    monkeypatch.setattr(Scripted, "kind", kind)
    for size in (None, 1, 3, 64):
        out = llm.generate(prompt, draft="trigram", draft_tokens=size, **options)
        assert out.token_ids == plain.token_ids, size
        assert out.finish_reason == plain.finish_reason
        if kind == "oracle" and size == 3 and len(plain.token_ids) > 8:
            assert out.stats.accepted > len(plain.token_ids) // 2
            assert out.stats.target_passes < len(plain.token_ids) // 2
        if kind == "wrong":
            assert out.stats.accepted == 0
        lengths = out.stats.accept_lengths
        assert sum(lengths) == out.stats.target_passes
        assert out.stats.accepted == sum(n * passes for n, passes in enumerate(lengths)) <= out.stats.drafted


@pytest.mark.parametrize("name", [name for name in METHODS if name != "words"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_best_tokens_of_every_row_reach_the_drafter(llm, name, masked, monkeypatch):
    """In a batch, of right and wrong nodes: what the reference takes from the logits after each node's own path."""
    prompts, options = [[5, 9, 33], [7, 8]], METHODS[name] | {"max_new_tokens": 12, "min_new_tokens": 0}
    options |= {"suppress_tokens": [3, 17, 40]} if masked else {}
    plain = llm.generate(prompts, **options)
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain[0].token_ids)
    monkeypatch.setattr(Scripted, "prompt", 3)
    monkeypatch.setattr(Scripted, "kind", "tree")
    monkeypatch.setattr(Scripted, "made", [])
    drafted = llm.generate(prompts, draft="trigram", draft_tokens=4, **options)
    assert [out.token_ids for out in drafted] == [out.token_ids for out in plain]
    allowed = np.ones((1, llm.config.vocab_size), np.int8)
    allowed[0, [3, 17, 40]] = not masked
    contrast = options["method"] == "cold"
    weights = np.array([[options.get("alpha", 0.1), options.get("beta", 0.5)] if contrast else [0, 0]], np.float32)
    assert len(Scripted.made) == 2 and all(drafter.seen for drafter in Scripted.made)
    for ids, new, rows in [drafter.seen[i] for drafter in Scripted.made for i in (0, 1, -1)]:
        paths = [ids[:-new]]
        for token, parent in zip(rows.tokens, rows.parents, strict=True):
            paths.append([*paths[parent + 1], token])
        assert len(rows.best) == len(paths)
        for path, best, logprobs in zip(paths, rows.best, rows.logprobs, strict=True):
            if set(path) & set(llm.config.eos_token_ids):  # nothing is asked after an end of text
                continue
            expert, base = (llm.logits(path, adapter)[-1:] for adapter in (None, "base"))
            *_, tokens, logs = contrastive_score.reference(expert, base, weights, allowed, 3)
            assert best.tolist() == tokens[0].tolist()
            np.testing.assert_allclose(logprobs, logs[0], atol=1e-5)


def test_plain_decoding_compiles_nothing_for_drafts(tmp_path):
    llm = mindcold.load(write_model(tmp_path / "m", seed=1))
    llm.generate([5, 9, 33], max_new_tokens=4)
    assert {kind.best for kind in llm.engine._graphs} == {0}
    llm.generate([5, 9, 33], max_new_tokens=4, draft="aded")
    assert {kind.best for kind in llm.engine._graphs} == {0}  # the published rule learns what was decided alone
    llm.generate([5, 9, 33] * 60, max_new_tokens=4, draft="trigram", prefill_chunk=64)
    assert {kind.best for kind in llm.engine._graphs} == {0, 8}


@pytest.mark.parametrize("name", METHODS)
def test_real_drafts_in_batches_and_one_by_one(llm, name):
    prompts, options = [[5, 9, 33], [7], [1, 2] * 9, [11, 12, 13, 14]], METHODS[name] | {"max_new_tokens": 30}
    plain = llm.generate(prompts, **options)
    own_draft, small, published = {"draft": "trigram"}, {"draft": "trigram", "draft_tokens": 9}, {"draft": "aded"}
    for own in (own_draft, small, published):
        drafted = llm.generate(prompts, **own, **options)
        assert [out.token_ids for out in drafted] == [out.token_ids for out in plain]
        assert [out.text for out in drafted] == [out.text for out in plain]


def test_a_rejected_draft_leaves_no_trace_in_the_cache(llm, monkeypatch):
    """Keys and values after drafts equal those of a fresh prefill: the logits that follow are the same bits."""
    prompt, seen = [5, 9, 33], []
    plain = llm.generate(prompt, "greedy", max_new_tokens=16, eos_token_id=[])
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain.token_ids)
    monkeypatch.setattr(Scripted, "prompt", len(prompt))
    monkeypatch.setattr(Scripted, "kind", "tree")
    for token in llm.stream(prompt, "greedy", max_new_tokens=16, eos_token_id=[], draft="trigram", draft_tokens=9):
        seen.append(token)
    assert [token.id for token in seen] == plain.token_ids
    assert any(token.from_draft for token in seen)
    logits = llm.logits(prompt + plain.token_ids[:-1])[len(prompt) - 1 :].astype(np.float64)
    for row, token in zip(logits, seen, strict=True):
        expected = row[token.id] - row.max() - np.log(np.exp(row - row.max()).sum())
        assert abs(token.logprob - expected) < 1e-5


@pytest.mark.parametrize("count", [1, 8])
def test_drafts_get_rows_however_many_requests_there_are(llm, count, monkeypatch):
    """Eight CoLD requests are sixteen streams, a whole bucket: the next one carries their drafts."""
    prompt, options = [5, 9, 33], {"method": "cold", "max_new_tokens": 40, "eos_token_id": []}
    plain = llm.generate(prompt, **options)
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain.token_ids)
    monkeypatch.setattr(Scripted, "prompt", len(prompt))
    monkeypatch.setattr(Scripted, "kind", "oracle")
    for size, passes in ((7, 6), (None, 20), (39, 3)):
        outs = llm.generate([prompt] * count, draft="trigram", draft_tokens=size, **options)
        assert [out.token_ids for out in outs] == [plain.token_ids] * count
        limit = passes if count == 1 or size != 39 else 5  # 240 rows for 320 nodes
        assert all(out.stats.drafted > 0 and out.stats.target_passes <= limit for out in outs)
        capped = size == 39 and count == 8
        assert all((out.stats.draft_cap is not None) == capped for out in outs)


def test_trees_of_sixty_four_nodes_are_verified_whole(llm, monkeypatch):
    prompt, options = [5, 9, 33], {"method": "cold", "max_new_tokens": 90, "eos_token_id": []}
    plain = llm.generate(prompt, **options)
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain.token_ids)
    monkeypatch.setattr(Scripted, "prompt", len(prompt))
    monkeypatch.setattr(Scripted, "kind", "oracle")
    out = llm.generate(prompt, draft="trigram", draft_tokens=64, **options)
    assert out.token_ids == plain.token_ids and len(out.stats.accept_lengths) == 65
    assert out.stats.target_passes == 3 and out.stats.draft_cap is None  # the prompt, 65 tokens, the rest


@pytest.mark.parametrize("name", ["greedy", "sample"])
@pytest.mark.parametrize("kind", ["tree", "past the end"])
def test_near_the_end_of_a_full_context_trees_stay_wide(name, kind, tmp_path, monkeypatch):
    """More nodes than tokens may come, none too deep to be accepted; neighbours in the KV pool keep what is theirs."""
    llm = mindcold.load(write_model(tmp_path, seed=1, vocab_size=VOCAB, max_position_embeddings=16))
    prompts, options = [[5, 9, 33], [7], [11, 12]], METHODS[name] | {"max_new_tokens": 40, "eos_token_id": []}
    plain = llm.generate(prompts, **options)
    assert [len(out.token_ids) for out in plain] == [13, 15, 14]
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain[0].token_ids)
    monkeypatch.setattr(Scripted, "prompt", 3)
    monkeypatch.setattr(Scripted, "kind", kind)
    wide, extend = [], StepPlan.extend

    def recorded(self, sequence, tokens, draft=(), parents=()):
        depths = []
        for parent in parents:
            depths.append(1 + (depths[parent] if parent >= 0 else 0))
        room = 16 - sequence.length - len(tokens)
        assert max(depths, default=0) <= max(0, room - 1)
        wide.append(len(depths) > room)
        return extend(self, sequence, tokens, draft, parents)

    monkeypatch.setattr(StepPlan, "extend", recorded)
    drafted = llm.generate(prompts, draft="trigram", draft_tokens=24, **options)
    assert [out.token_ids for out in drafted] == [out.token_ids for out in plain]
    assert any(wide) == (kind == "tree")  # a chain is no deeper than it can be accepted


@pytest.mark.parametrize("options", [METHODS["greedy"], METHODS["cold"], {"method": "beam"}, {"method": "cdsl"}])
def test_stop_strings_with_drafts_and_searches(options):
    """The text ends right after the stop string, also in the middle of an accepted draft."""
    shipped = mindcold.load("tiny-base", "tiny-steps")
    prompt = "Question: Tom has 12 apples. Tom buys 9 more apples. How many apples does Tom have now? Answer:"
    whole = shipped.generate(prompt, max_new_tokens=40, **options).text
    stop = whole[4:9]
    if options["method"] in ("greedy", "cold"):
        shipped.generate(prompt, draft="trigram", draft_tokens=7, max_new_tokens=40, **options)
        options = options | {"draft": "trigram", "draft_tokens": 7}
    out = shipped.generate(prompt, max_new_tokens=40, stop_strings=["never seen", stop], **options)
    assert out.finish_reason == "stop" and out.text == whole[: whole.index(stop) + len(stop)]
    pieces = [token.text for token in shipped.stream(prompt, max_new_tokens=40, stop_strings=stop, **options)]
    assert "".join(pieces) == out.text


@pytest.mark.parametrize("name", ["cold", "sampled cold"])  # the rest differs on the host alone
def test_drafts_on_the_built_in_bodies(name, tmp_path):
    llm = mindcold.load(write_model(tmp_path / "m", seed=1), write_adapter(tmp_path / "a", seed=1), backend="builtin")
    options = METHODS[name] | {"max_new_tokens": 24}
    plain = llm.generate([1, 2] * 9, **options)
    llm.warm_drafts([[*[1, 2] * 9, *plain.token_ids]] * 3)
    out = llm.generate([1, 2] * 9, draft="trigram", draft_tokens=6, **options)
    assert out.token_ids == plain.token_ids and out.stats.accepted > 0


def test_sampled_trees_have_the_distribution_of_plain_sampling(llm, monkeypatch):
    """Chi-square over three tokens from few, on many seeds, with random trees of nine nodes.

    The trees hold the likeliest tokens half of the time: whoever follows them oftener than they are drawn is found out.
    """
    prompt, counts, accepted = [5, 9], dict[tuple, list](), 0
    options = {"max_new_tokens": 3, "top_k": 3, "temperature": 1.5, "eos_token_id": []}
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "prompt", len(prompt))
    monkeypatch.setattr(Scripted, "kind", "tree")
    monkeypatch.setattr(Scripted, "truth", llm.generate(prompt, max_new_tokens=3, eos_token_id=[]).token_ids)
    for i in range(400):
        for j, draft in enumerate(("none", "trigram")):
            size = {"draft_tokens": 9} if draft == "trigram" else {}
            out = llm.generate(prompt, "sample", seed=i + 10_000 * j, draft=draft, **size, **options)
            counts.setdefault(tuple(out.token_ids), [0, 0])[j] += 1
            accepted += out.stats.accepted
    table = np.array([pair for pair in counts.values() if sum(pair) >= 10], np.float64)
    expected = table.sum(1, keepdims=True) / 2
    statistic, freedom = ((table - expected) ** 2 / expected).sum(), len(table) - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom) + 4
    assert accepted > 40 and len(table) > 8


@pytest.mark.parametrize("kind", ["none", "oracle", "half right"])
@pytest.mark.parametrize("method", ["greedy", "sample"])
def test_the_likely_tokens_of_every_place_come_with_the_output(llm, method, kind, monkeypatch):
    """Against NumPy on the logits of the whole text, with drafts accepted and refused, to the end of text."""
    prompt, options = [5, 9, 33], {"method": method, "max_new_tokens": 20, "suppress_tokens": [7, 8], "top_logprobs": 5}
    plain = llm.generate(prompt, **options | {"top_logprobs": 0})
    assert plain.top_logprobs == []
    monkeypatch.setattr(mindcold.builder, "TrigramDrafter", Scripted)
    monkeypatch.setattr(Scripted, "truth", plain.token_ids)
    monkeypatch.setattr(Scripted, "prompt", len(prompt))
    monkeypatch.setattr(Scripted, "kind", kind)
    out = llm.generate(prompt, **options, **({} if kind == "none" else {"draft": "trigram", "draft_tokens": 3}))
    assert out.token_ids == plain.token_ids and len(out.top_logprobs) == len(out.token_ids)
    assert (out.stats.accepted > 0) == (kind != "none")
    scores = llm.logits(prompt + out.token_ids)[len(prompt) - 1 : -1].astype(np.float64)
    scores[:, [7, 8]] = -np.inf
    logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    for place, row in zip(out.top_logprobs, logs, strict=True):
        expected = np.argsort(-row, kind="stable")[:5]
        assert [token for token, _ in place] == expected.tolist()
        np.testing.assert_allclose([logprob for _, logprob in place], row[expected], atol=1e-4)


def test_where_fewer_may_come_fewer_are_told(llm):
    out = llm.generate([5, 9], max_new_tokens=3, suppress_tokens=list(range(3, llm.config.vocab_size)), top_logprobs=20)
    assert all(0 < len(place) <= 3 for place in out.top_logprobs) and out.top_logprobs
    with pytest.raises(RequestError, match="top_logprobs: method 'beam' has no use for it"):
        llm.generate([5, 9], method="beam", top_logprobs=3)
