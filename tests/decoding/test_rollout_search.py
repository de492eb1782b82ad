"""CDLH and CDSL: against a naive search, at their limits, and what becomes of constraints that fail."""

import numpy as np
import pytest

import mindcold
from mindcold.constraints import Forbidden, TextReward
from mindcold.decoding.forward import ForwardRequest
from mindcold.decoding.methods import rollout_search
from mindcold.drafting import TableKey, TrigramDrafter
from mindcold.engine import MAX_ROWS
from mindcold.errors import RequestError
from tests.decoding.fake_constraints import Covered, Liked, One
from tests.folders import load_random, write_model

PROMPTS = [[5, 9, 33], [7], [11, 12, 13, 14]]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_random(tmp_path_factory.mktemp("ahead"), seed=1)


@pytest.fixture(scope="module")
def shadow(tmp_path_factory):
    """The same model once more, to ask while the other decodes."""
    return load_random(tmp_path_factory.mktemp("shadow"), seed=1)


@pytest.fixture(scope="module")
def draft(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("draft") / "model", seed=1))


def share(liked):
    return lambda new: sum(token in liked for token in new) / len(new)


def naive(llm, prompt, reward, length, candidates, weight, count, eos=2):
    """CDLH by logits of whole sequences, one candidate after the other."""
    ids = list(prompt)
    while len(ids) - len(prompt) < count and (len(ids) == len(prompt) or ids[-1] != eos):
        logits = llm.logits(ids)[-1].astype(np.float64)
        logprobs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        best, best_total = None, -np.inf
        for token in np.argsort(-logits, kind="stable")[:candidates].tolist():
            future = [token]
            room = count - len(ids) + len(prompt) - 1  # what may still come after the candidate
            while len(future) <= min(length, room) and future[-1] != eos:
                future.append(int(llm.logits(ids + future)[-1].argmax()))
            new = ids[len(prompt) :] + future
            total = logprobs[token] + weight * reward(new)
            if total > best_total + 1e-9:
                best, best_total = token, total
        ids.append(best)
    return ids[len(prompt) :]


@pytest.mark.parametrize("length", [0, 1, 3])
def test_cdlh_is_the_naive_search(llm, length):
    liked, changed = set(range(0, 64, 3)), False
    for prompt in PROMPTS:
        options = {"lookahead": length, "candidates": 4, "reward_weight": 3.0, "max_new_tokens": 7}
        out = llm.generate(prompt, "cdlh", constraint=Liked(liked), **options)
        assert out.token_ids == naive(llm, prompt, share(liked), length, 4, 3.0, 7)
        changed |= out.token_ids != llm.generate(prompt, max_new_tokens=7).token_ids
        assert out.stats.reward == pytest.approx(Liked(liked, out.token_ids).value())
    assert changed


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("cdlh", {}, ("greedy", None)),
        ("cdlh", {"score": "contrastive"}, ("cold", None)),
        ("cdsl", {"draft": "base"}, ("greedy", "base")),
        ("cdsl", {"draft": "base", "score": "contrastive", "tau_a": 0.4}, ("greedy", "base")),
    ],
)
def test_guesses_save_passes_and_change_nothing(llm, shadow, monkeypatch, method, options, says):
    """Guesses that are right, that are wrong, and that are right for two tokens."""
    options |= {"constraint": Liked(range(0, 64, 3)), "candidates": 4, "reward_weight": 3.0, "max_new_tokens": 7}
    options |= {"lookahead": 5, "eos_token_id": [40]} | ({"tau_r": 0.6} if method == "cdsl" else {})
    known = {}

    def right(ids):
        key = tuple(ids)
        if key not in known:
            out = shadow.generate(list(ids), says[0], adapter=says[1], max_new_tokens=4, eos_token_id=[])
            known[key] = out.token_ids
        return known[key]

    def spoilt(ids, start):
        return [token if i < start else (token + 1) % 96 for i, token in enumerate(right(ids))]

    for prompt in PROMPTS:
        with monkeypatch.context() as patch:
            patch.setattr(TrigramDrafter, "path", lambda *_: [])
            plain, passes = llm.generate(prompt, method, **options), []
        for start in (4, 2, 0):
            with monkeypatch.context() as patch:
                patch.setattr(
                    TrigramDrafter,
                    "path",
                    lambda _, ids, room, floor=0, start=start: spoilt(ids, start)[: max(0, room)],
                )
                out = llm.generate(prompt, method, **options)
            assert out.token_ids == plain.token_ids and out.stats.reward == plain.stats.reward
            passes.append(out.stats.target_passes + out.stats.draft_passes)
        assert passes[0] < passes[1] < passes[2] == plain.stats.target_passes + plain.stats.draft_passes


def test_guesses_come_from_the_tables(llm):
    """A base that repeats itself is foreseen once it has been heard."""
    options = {"constraint": One(()), "draft": "base", "lookahead": 8, "max_new_tokens": 16, "tau_a": 0.0}
    llm.forget_drafts()
    plain = llm.generate(PROMPTS[0], "cdsl", **options)
    llm.warm_drafts([[*PROMPTS[0], *llm.generate(PROMPTS[0], adapter="base", max_new_tokens=30).token_ids]] * 5)
    out = llm.generate(PROMPTS[0], "cdsl", **options)
    llm.forget_drafts()
    assert out.token_ids == plain.token_ids and out.stats.draft_passes < plain.stats.draft_passes


def test_candidates_that_cannot_win_are_left_out(llm, monkeypatch):
    """The naive search rolls all of them out and chooses the same."""
    rows, liked = [], set(range(0, 64, 3))
    monkeypatch.setattr(TrigramDrafter, "path", lambda *_: [])
    run = llm.engine.run

    def counted(plan, *arguments):
        rows.append(len(plan.rows))
        return run(plan, *arguments)

    monkeypatch.setattr(llm.engine, "run", counted)
    for prompt in PROMPTS:
        for weight in (0.05, 0.4):
            options = {"lookahead": 2, "candidates": 5, "reward_weight": weight, "max_new_tokens": 7}
            out = llm.generate(prompt, "cdlh", constraint=Liked(liked), **options)
            assert out.token_ids == naive(llm, prompt, share(liked), 2, 5, weight, 7)
            pruned, rows[:] = {*rows}, []
            again = llm.generate(prompt, "cdlh", constraint=Liked(liked), exhaustive=True, **options)
            assert again.token_ids == out.token_ids
            assert {1, 2, 3} & pruned and not {1, 2, 3} & {*rows} - {len(prompt)}
            rows.clear()


@pytest.mark.parametrize("weight", [1.0, 4.0, 20.0])
def test_roll_outs_end_once_the_choice_is_certain(llm, monkeypatch, weight):
    """A reward that cannot be lost decides early; the naive search chooses the same."""
    monkeypatch.setattr(TrigramDrafter, "path", lambda *_: [])
    saved = 0
    for prompt in PROMPTS:
        plain = llm.generate(prompt, max_new_tokens=12, eos_token_id=[]).token_ids
        options = {"lookahead": 4, "candidates": 5, "reward_weight": weight, "max_new_tokens": 10, "eos_token_id": []}
        for ids in ({plain[1], plain[3]}, {plain[1], plain[3], 50, 71}):
            out = llm.generate(prompt, "cdlh", constraint=Covered(ids), **options)
            reward = lambda new, ids=ids: Covered(ids, new).value()  # noqa: E731
            assert out.token_ids == naive(llm, prompt, reward, 4, 5, weight, 10, eos=-1)
            again = llm.generate(prompt, "cdlh", constraint=Covered(ids), exhaustive=True, **options)
            assert again.token_ids == out.token_ids
            saved += again.stats.target_passes - out.stats.target_passes
    assert saved > 10


@pytest.mark.parametrize("score", ["plain", "contrastive"])
@pytest.mark.parametrize("drafter", ["base", "trigram", "model"])
def test_cdsl_without_wishes_is_greedy(llm, draft, drafter, score):
    name, accepted = draft if drafter == "model" else drafter, {0.0: 0, 0.5: 0, 2.0: 0}
    for prompt in PROMPTS:
        plain = llm.generate(prompt, "cold" if score == "contrastive" else "greedy", max_new_tokens=20)
        for tau in accepted:  # all drafts accepted, some, none
            out = llm.generate(
                prompt, "cdsl", constraint=One(()), draft=name, score=score, tau_a=tau, tau_r=1.0, max_new_tokens=20
            )
            assert out.token_ids == plain.token_ids
            assert out.finish_reason == plain.finish_reason
            assert tau > 0.0 or out.stats.target_passes <= len(out.token_ids)  # passes of drafts are others
            accepted[tau] += out.stats.accepted
    assert accepted[0.0] > 0 == accepted[2.0] and accepted[0.0] >= accepted[0.5]


def test_cdlh_without_wishes_is_greedy(llm):
    for score, method in (("plain", "greedy"), ("contrastive", "cold")):
        for prompt in PROMPTS:
            plain = llm.generate(prompt, method, max_new_tokens=12)
            out = llm.generate(prompt, "cdlh", constraint=One(()), score=score, max_new_tokens=12, lookahead=3)
            assert out.token_ids == plain.token_ids


def test_cdsl_that_accepts_no_draft_is_cdlh(llm):
    liked = Liked(range(0, 64, 3))
    for prompt in PROMPTS:
        options = {"constraint": liked, "lookahead": 3, "reward_weight": 3.0, "max_new_tokens": 9}
        assert (
            llm.generate(prompt, "cdsl", tau_a=2.0, **options).token_ids
            == llm.generate(prompt, "cdlh", **options).token_ids
        )


def test_a_draft_like_the_target_is_accepted_whole(tmp_path):
    model = write_model(tmp_path / "model", seed=3)
    llm = mindcold.load(model)
    out = llm.generate([5, 9], "cdsl", draft=str(model), constraint=One(()), lookahead=4, max_new_tokens=21, tau_a=1.0)
    assert out.stats.accepted >= 15
    assert out.stats.target_passes <= 6


def test_rewards_matter(llm):
    liked = Liked(range(0, 64, 3))
    for method in ("cdlh", "cdsl"):
        plain, ahead = [], []
        for prompt in PROMPTS:
            plain.append(liked.__class__(liked.ids, llm.generate(prompt, max_new_tokens=12).token_ids).value())
            options = {"tau_r": 0.9} if method == "cdsl" else {}
            options |= {"constraint": liked, "reward_weight": 20.0, "lookahead": 3, "max_new_tokens": 12}
            ahead.append(llm.generate(prompt, method, **options).stats.reward)
        assert sum(ahead) > sum(plain)


class Raising(Liked):
    """Fails after some tokens, for the requests that begin with a token it dislikes."""

    def value(self):
        if len(self.tokens) > 3 and self.tokens[0] in self.ids:
            raise ValueError("no more")
        return 1.0


@pytest.mark.parametrize("method", ["cdlh", "cdsl"])
def test_a_reward_that_fails_ends_its_own_request(llm, method):
    first = [llm.generate(prompt, max_new_tokens=1).token_ids[0] for prompt in PROMPTS]
    assert first[0] != first[1]
    bad = Raising({first[0]})
    outs = llm.generate(PROMPTS[:2], method, constraint=bad, max_new_tokens=10)
    assert outs[0].finish_reason == "error" and "Raising: ValueError: no more" in outs[0].stats.error
    assert outs[1].finish_reason in ("stop", "length") and outs[1].stats.error is None
    with pytest.raises(RequestError, match="no more"):
        llm.generate(PROMPTS[0], method, constraint=bad, max_new_tokens=10)
    assert llm.engine.used_slots == 0  # nothing stays behind


@pytest.mark.parametrize("score", ["plain", "contrastive"])
@pytest.mark.parametrize("method", ["cdlh", "cdsl"])
def test_a_batch_gives_what_one_by_one_gives(llm, monkeypatch, method, score):
    """Searches of different lengths in the same steps, more of them than run together."""
    monkeypatch.setattr(TrigramDrafter, "path", lambda *_: [])  # what has been learned changes the passes
    options = {"constraint": Liked(range(0, 64, 3)), "lookahead": 3, "candidates": 4, "reward_weight": 3.0}
    options |= {"score": score, "max_new_tokens": 9} | ({"tau_r": 0.6} if method == "cdsl" else {})
    prompts = [*PROMPTS, list(range(5, 80)), [8, 8, 8]]
    steps, run = [], llm.engine.run

    def counted(*args, **kwargs):
        steps[-1] += 1
        return run(*args, **kwargs)

    llm.engine.run = counted
    try:
        steps.append(0)
        alone = [llm.generate(prompt, method, **options) for prompt in prompts]
        steps.append(0)
        before, llm.max_batch = llm.max_batch, 3
        together = llm.generate(prompts, method, **options)
        llm.max_batch = before
    finally:
        del llm.engine.run
    assert [out.token_ids for out in together] == [out.token_ids for out in alone]
    assert [out.stats.target_passes for out in together] == [out.stats.target_passes for out in alone]
    assert steps[1] < 0.7 * steps[0]
    assert llm.engine.used_slots == 0


@pytest.mark.parametrize("method", ["cdlh", "cdsl", "beam"])
def test_searches_wait_where_memory_does_not_suffice_for_all(llm, monkeypatch, method):
    options = {"lookahead": 3, "candidates": 4} if method != "beam" else {}
    options |= {"constraint": Liked(range(0, 64, 3)), "max_new_tokens": 6} | (
        {"draft": "base"} if method == "cdsl" else {}
    )
    alone = [llm.generate(prompt, method, **options).token_ids for prompt in PROMPTS]
    running, pool, engine = [], llm.engine._pool, llm.engine
    close, opened, size = pool.close, pool.open, {"cdlh": 60, "cdsl": 130, "beam": 40}[method]

    def limited(slots, adapter):
        if sum(segment.size for segment in running) + slots > size:
            return None
        segment = opened(slots, adapter)
        running.append(segment)
        return segment

    def reserve(slots):
        raise RequestError("KV cache: no memory")

    monkeypatch.setattr(pool, "open", limited)
    monkeypatch.setattr(pool, "close", lambda segment: (running.remove(segment), close(segment)))
    monkeypatch.setattr(engine, "reserve", reserve)
    outs = llm.generate(PROMPTS, method, **options)
    assert [out.token_ids for out in outs] == alone and not running
    size = 5
    with pytest.raises(RequestError, match="no memory"):
        llm.generate(PROMPTS[0], method, **options)
    assert not running and engine.used_slots == 0


def test_rewards_that_take_texts_together_are_asked_once_a_choice():
    shipped = mindcold.load("tiny-base", "tiny-steps")
    calls = []

    def judge(texts):
        calls.append(len(texts))
        return [text.count("a") / max(1, len(text)) for text in texts]

    options = {"lookahead": 3, "candidates": 4, "max_new_tokens": 6, "reward_weight": 20.0}
    together = shipped.generate("The farmer", "cdlh", constraint=TextReward(judge, batched=True), **options)
    alone = shipped.generate("The farmer", "cdlh", constraint=lambda text: judge([text])[0], **options)
    assert together.token_ids == alone.token_ids
    assert calls.count(4) == len(together.token_ids)
    with pytest.raises(RequestError, match="1 values for 4 texts"):
        shipped.generate("The farmer", "cdlh", constraint=TextReward(lambda texts: [0.5], batched=True), **options)


def test_minimum_length_holds(llm):
    plain = llm.generate(PROMPTS[0], max_new_tokens=30)
    eos = plain.token_ids[2]
    for method in ("cdlh", "cdsl"):
        options = {"eos_token_id": eos, "min_new_tokens": 6, "max_new_tokens": 12, "lookahead": 2}
        out = llm.generate(PROMPTS[0], method, constraint=One(()), **options)
        assert (
            out.token_ids == llm.generate(PROMPTS[0], eos_token_id=eos, min_new_tokens=6, max_new_tokens=12).token_ids
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "cdsl", "draft": "none"}, "draft"),
        ({"method": "cdsl", "draft": "no-such-model"}, "no-such-model"),
        ({"method": "cdlh", "do_sample": True}, "do_sample"),
        ({"method": "cdlh", "candidates": 0}, "candidates"),
        ({"method": "cdlh", "lookahead": -1}, "lookahead"),
        ({"method": "cdlh", "score": "other"}, "score"),
        ({"method": "cdlh", "constraint": 5}, "constraint"),
        ({"method": "cdlh", "constraints": [None, None]}, "one for each of 1 prompts"),
        ({"method": "cdlh", "constraint": ["apple"]}, "tokenizer"),
    ],
)
def test_what_cannot_be(llm, options, message):
    with pytest.raises(mindcold.MindcoldError, match=message):
        llm.generate([5, 9], **options)


@pytest.mark.parametrize("method", ["greedy", "beam", "cdlh", "cdsl"])
def test_what_contradicts_itself_ends_as_well_as_it_can(method):
    shipped = mindcold.load("tiny-base", "tiny-steps")
    both = [["farmer"], Forbidden(["farmer"])]
    options = {"lookahead": 3, "candidates": 4} if method in ("cdlh", "cdsl") else {}
    out = shipped.generate("The old", method, constraint=both, max_new_tokens=8, **options)
    assert out.finish_reason in ("stop", "length") and out.stats.reward == 0.5
    assert len(out.stats.unmet) == 1 and "farmer" in out.stats.unmet[0]


def test_candidates_share_the_prompt(llm, monkeypatch):
    """Sixteen candidates of a long prompt: its keys and values are there once, and nothing is copied."""
    prompt, used, moved = [5 + i % 60 for i in range(200)], [], []
    run = llm.engine.run

    def watched(plan, *arguments):
        used.append(llm.engine.used_slots)
        moved.append(len(llm.engine._moves))
        return run(plan, *arguments)

    monkeypatch.setattr(llm.engine, "run", watched)
    options = {"constraint": Liked(range(0, 64, 3)), "candidates": 16, "lookahead": 8, "max_new_tokens": 6}
    out = llm.generate(prompt, "cdlh", **options)
    assert max(used) < 200 + 6 + 10 + 16 * 10 + 1 and max(moved) <= 1
    assert out.stats.target_passes <= 6 * 8 + 1
    used.clear(), moved.clear()
    out = llm.generate(prompt, "cdsl", draft="base", tau_r=0.9, **options)  # the base has as many branches of its own
    assert out.stats.draft_passes > 8 and max(used) < 2 * (200 + 6 + 20 + 16 * 10) and max(moved) < 16


@pytest.mark.parametrize("method", ["cdlh", "cdsl"])
def test_roll_outs_of_more_rows_than_a_step_has(llm, monkeypatch, method):
    """32 candidates under contrast with guesses of four tokens are 320 rows, two steps' worth."""
    options = {"constraint": Liked(range(0, 64, 3)), "candidates": 32, "score": "contrastive", "max_new_tokens": 8}
    options |= {"alpha": 1e-6, "exhaustive": True} | ({"tau_a": 2.0} if method == "cdsl" else {})
    with monkeypatch.context() as patch:
        patch.setattr(TrigramDrafter, "path", lambda *_: [])
        plain = llm.generate(PROMPTS[0], method, **options)
    rows, asked, run = [], [], llm.engine.run

    class Counted(ForwardRequest):
        def __init__(self, feeds, *more, **settings):
            super().__init__(feeds, *more, **settings)
            asked.append(sum(feed.heads * len(feed.sequence.streams) for feed in feeds))

    monkeypatch.setattr(rollout_search, "ForwardRequest", Counted)
    monkeypatch.setattr(TrigramDrafter, "path", lambda _, ids, room, floor=0: [7, 8, 9, 10][: max(0, room)])
    monkeypatch.setattr(llm.engine, "run", lambda plan, *more: (rows.append(len(plan.rows)), run(plan, *more))[1])
    out = llm.generate(PROMPTS[0], method, **options)
    assert out.token_ids == plain.token_ids and max(asked) == 320 and 200 < max(rows) <= MAX_ROWS


def test_roll_outs_are_not_credited_with_what_can_no_longer_come(llm):
    """Seven tokens of which two are left: a roll-out of eight counts two."""
    seen = []

    class Watching(Liked):
        def value(self):
            seen.append(len(self.tokens))
            return super().value()

    for method in ("cdlh", "cdsl"):
        options = {"lookahead": 8, "candidates": 4, "max_new_tokens": 7, "eos_token_id": []}
        llm.generate(PROMPTS[0], method, constraint=Watching(range(0, 64, 3)), **options)
        assert max(seen) == 7


@pytest.mark.parametrize(("score", "name"), [("plain", "plain"), ("contrastive", "alpha 0.1 beta 0.5")])
def test_searches_teach_the_tables_of_their_own_score(llm, score, name):
    llm.forget_drafts()
    out = llm.generate(PROMPTS[0], "cdlh", constraint=One(()), score=score, lookahead=3, max_new_tokens=20)
    key = TableKey("default", name)
    assert list(llm.trigrams._own) == [key]
    drafter = TrigramDrafter(llm.trigrams, key)
    assert drafter.path([*PROMPTS[0], *out.token_ids[:8]], 1) == out.token_ids[8:9]
    assert drafter.propose(PROMPTS[0][:2], 4).tokens[0] == PROMPTS[0][2]
    llm.generate(PROMPTS[0], "cdsl", constraint=One(()), draft="base", score=score, max_new_tokens=6)
    assert {*llm.trigrams._own} == {key, TableKey("base")}
    llm.forget_drafts()


def test_thresholds_between_the_limits_take_part_of_the_drafts(llm):
    """A draft that is refused makes the model look ahead itself, and what it found is taken without another pass."""
    accepted, passes = [], []
    plain = llm.generate(PROMPTS, max_new_tokens=30, eos_token_id=[])
    for tau in (0.0, 0.3, 0.6, 1.0, 1.1):
        options = {"constraint": One(()), "draft": "base", "lookahead": 4, "tau_a": tau, "max_new_tokens": 30}
        outs = [llm.generate(prompt, "cdsl", eos_token_id=[], **options) for prompt in PROMPTS]
        accepted.append(sum(out.stats.accepted for out in outs))
        passes.append(sum(out.stats.target_passes for out in outs))
        assert [out.token_ids for out in outs] == [out.token_ids for out in plain]
    assert accepted[0] > 0 == accepted[4] and 4 * passes[3] < passes[4]


def test_a_threshold_is_the_share_of_the_draft_the_target_agrees_with(llm, monkeypatch):
    """Drafts of four tokens of which two are right."""
    options = {"max_new_tokens": 30, "eos_token_id": []}
    truth, accepted = {tuple(prompt): llm.generate(prompt, **options).token_ids for prompt in PROMPTS}, []

    def half_right(_, ids, room, floor=0):
        prompt = next(prompt for prompt in PROMPTS if ids[: len(prompt)] == prompt)
        ahead = truth[tuple(prompt)][len(ids) - len(prompt) :]
        return [token if i < 2 else (token + 1) % 96 for i, token in enumerate(ahead)][: max(0, room)]

    monkeypatch.setattr(TrigramDrafter, "path", half_right)
    for tau in (0.2, 0.5, 0.51, 1.0):
        outs = llm.generate(PROMPTS, "cdsl", constraint=One(()), lookahead=4, tau_a=tau, **options)
        assert [out.token_ids for out in outs] == [*truth.values()]
        accepted.append([out.stats.accepted for out in outs])
    assert accepted[0] == accepted[1] and min(accepted[0]) >= 18 and accepted[2:] == [[0] * 3, [0] * 3]


def test_a_failing_constraint_is_raised_after_the_tokens_of_a_stream(llm):
    first = llm.generate(PROMPTS[0], max_new_tokens=1).token_ids[0]
    for method in ("greedy", "cdlh", "beam"):
        seen = []
        with pytest.raises(RequestError, match="Raising: ValueError: no more"):
            for token in llm.stream(PROMPTS[0], method, constraint=Raising({first}), max_new_tokens=10):
                seen.append(token.id)
        assert method != "greedy" or len(seen) == 10  # its value is asked for at the end
    assert llm.engine.used_slots == 0


def test_a_request_that_fails_before_its_first_token_took_no_time(llm):
    class Broken(Liked):
        def value(self):
            raise ValueError("at once")

    (out,) = llm.generate(PROMPTS[:1], "cdlh", constraint=Broken(()), max_new_tokens=4)
    assert out.finish_reason == "error" and out.stats.seconds == 0.0 and out.stats.seconds_to_first_token is None
