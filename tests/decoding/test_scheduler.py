"""The scheduler: requests of all kinds together, waiting, failing, cancelled; and what a new method takes."""

import asyncio
import threading
import time
from functools import partial

import numpy as np
import pytest

from mindcold import Request
from mindcold.decoding import METHODS, Method, Scheduler, register
from mindcold.decoding.forward import Feed, ForwardRequest, SequenceSpec
from mindcold.decoding.request import SelectedToken
from mindcold.errors import RequestError
from tests.decoding.fake_constraints import Liked, Mask
from tests.folders import load_random, write_adapter


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    llm = load_random(tmp_path_factory.mktemp("scheduler"), seed=1)
    llm.add_adapter("two", write_adapter(tmp_path_factory.mktemp("two"), seed=5))
    return llm


def mixed(length=14):
    options = {"max_new_tokens": length}
    ahead = {"constraint": Liked(range(0, 64, 3)), "lookahead": 3, "candidates": 4, "reward_weight": 3.0}
    return [
        Request([5, 9, 33], **options),
        Request([5, 9, 33], "cold", draft="trigram", **options),
        Request([7], "cdlh", **ahead, **options),
        Request([11, 12, 13, 14], "beam", num_beams=3, **options),
        Request([1, 2] * 9, "sample", seed=4, top_k=12, **options),
        Request([1, 2] * 9, "greedy", adapter="two", **options),
        Request(list(range(5, 90)), "cold", adapter="two", alpha=0.3, beta=2.0, **options),
        Request([8, 8, 8], "greedy", adapter="base", repetition_penalty=1.5, **options),
        Request([8, 8, 8], "cold", adapter="two", constraint=Mask({3, 17, 29, 40}), draft="trigram", **options),
        Request([40, 41], "cdlh", adapter="two", score="contrastive", **ahead, **options),
        Request([40, 41], "aded", min_new_tokens=6, eos_token_id=list(range(30)), **options),
    ]


@pytest.mark.parametrize("together", [11, 3])
def test_requests_of_all_kinds_share_steps_and_give_what_each_gives_alone(llm, together, monkeypatch):
    """Random numbers depend on the number of the request in its call: alone each keeps its place."""
    requests, alone, steps, run = mixed(), [], [], llm.engine.run
    monkeypatch.setattr(llm.engine, "run", lambda *arguments: (steps.append(1), run(*arguments))[1])
    for i, request in enumerate(requests):
        state, scheduler = llm.builder.build(i, request, llm.trigrams), Scheduler(1)
        scheduler.add(state)
        while scheduler.unfinished:
            scheduler.step()
        alone.append(state.token_ids)
    apart = len(steps)
    monkeypatch.setattr(llm, "max_batch", together)
    outs = llm.generate(requests)
    assert [out.token_ids for out in outs] == alone
    assert [out.stats.method for out in outs] == [request.method or "greedy" for request in requests]
    assert len(steps) - apart < apart * (0.6 if together > 3 else 0.8)
    assert llm.engine.used_slots == 0 and not llm.engine._moves


def test_a_request_that_ends_makes_room_at_once(llm):
    scheduler = Scheduler(2)
    states = [llm.builder.build(i, Request([5 + i], max_new_tokens=n), llm.trigrams) for i, n in enumerate((2, 8, 8))]
    for state in states:
        scheduler.add(state)
    seen = [{output.request.index for output in scheduler.step()} for _ in range(4)]
    assert seen == [{0, 1}, {0, 1}, {1, 2}, {1, 2}]
    scheduler.close()
    assert not scheduler.unfinished and llm.engine.used_slots == 0


def test_prompts_join_while_others_decode(llm):
    """A long prompt is fed in chunks beside requests that go on with every step."""
    short = llm.builder.build(0, Request([5, 9], max_new_tokens=12, eos_token_id=[]), llm.trigrams)
    long = llm.builder.build(1, Request([7] * 60, max_new_tokens=2, prefill_chunk=16, eos_token_id=[]), llm.trigrams)
    scheduler = Scheduler(2)
    scheduler.add(short)
    scheduler.step()
    scheduler.add(long)
    while len(long.token_ids) < 1:
        before = len(short.token_ids)
        scheduler.step()
        assert len(short.token_ids) == before + 1
    assert long.target_passes >= 4
    scheduler.close()
    assert long.token_ids == llm.generate([7] * 60, max_new_tokens=2, eos_token_id=[]).token_ids[: len(long.token_ids)]


def test_cancelling_gives_everything_back_and_others_go_on(llm):
    expected = llm.generate([7], max_new_tokens=9, eos_token_id=[]).token_ids
    scheduler = Scheduler(8)
    states = [llm.builder.build(i, request, llm.trigrams) for i, request in enumerate(mixed())]
    last = llm.builder.build(99, Request([7], max_new_tokens=9, eos_token_id=[]), llm.trigrams)
    for state in [*states, last]:
        scheduler.add(state)
    scheduler.step()
    for state in states:
        scheduler.cancel(state)
    while scheduler.unfinished:
        scheduler.step()
    assert last.token_ids == expected and llm.engine.used_slots == 0
    assert all(state.finish_reason in ("cancelled", "stop", "length") for state in states)
    assert sum(state.finish_reason == "cancelled" for state in states) >= 8


class Backwards:
    """A toy: it says its prompt backwards, and asks the model what it thinks of that."""

    keywords = frozenset()
    samples = branching = False
    constrained = False

    @staticmethod
    def sequences(state):
        return [SequenceSpec(state.engine, state.stream_adapters, state.size)]

    def __init__(self, state, sequences):
        self.state, (self.sequence,) = state, sequences
        self.sequence.pending = list(state.prompt)

    def steps(self):
        for token in reversed(self.state.prompt):
            (result,) = yield ForwardRequest([Feed(self.sequence)], self.state.contrast, scores=True)
            yield SelectedToken(token, float(result.scores()[token]))
            self.sequence.pending = [token]


def test_a_new_method_is_one_class_and_one_registration(llm):
    register(Method("backwards", search=Backwards))
    try:
        outs = llm.generate([Request([5, 9, 33], "backwards", max_new_tokens=3), Request([7], max_new_tokens=4)])
        assert outs[0].token_ids == [33, 9, 5] and outs[0].finish_reason == "length"
        assert outs[1].token_ids == llm.generate([7], max_new_tokens=4).token_ids
        with pytest.raises(RequestError, match="temperature: method 'backwards' has no use for it"):
            llm.generate([7], "backwards", temperature=2.0)
    finally:
        del METHODS["backwards"]


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("greedy", {"score": "contrastive"}, "score: method 'greedy' has no use for it; its score is fixed"),
        ("greedy", {"alpha": 0.3}, "alpha: method 'greedy' has no use for it; method 'cold' contrasts"),
        ("beam", {"beta": 0.3}, "beta: method 'beam' has no use for it"),
        ("cold", {"top_k": 3}, "top_k: method 'cold' has no use for it; it draws with do_sample=True"),
        ("sample", {"num_beams": 3}, "num_beams: method 'sample' has no use for it"),
        ("cdlh", {"tau_a": 0.25}, "tau_a: method 'cdlh' has no use for it"),
        ("greedy", {"draft_tokens": 3}, "draft_tokens: method 'greedy' has no use for it; it drafts with"),
        ("beam", {"repetition_penalty": 2.0}, "repetition_penalty: method 'beam' takes none"),
    ],
)
def test_a_keyword_the_method_has_no_use_for_is_refused(llm, method, options, message):
    with pytest.raises(RequestError, match=message):
        llm.generate([5, 9], method, **options)


def test_a_keyword_at_its_default_changes_nothing_and_is_taken(llm):
    plain = llm.generate([5, 9], max_new_tokens=5).token_ids
    assert llm.generate([5, 9], max_new_tokens=5, temperature=1.0, alpha=0.1, num_beams=4).token_ids == plain


def test_a_request_has_its_own_keywords(llm):
    with pytest.raises(RequestError, match="a Request has a method, an adapter and keywords of its own"):
        llm.generate([Request([5])], "cold")
    out = llm.generate(Request([5, 9], "cold", max_new_tokens=3))
    assert out.token_ids == llm.generate([5, 9], "cold", max_new_tokens=3).token_ids
    assert [token.id for token in llm.stream(Request([5, 9], "cold", max_new_tokens=3))] == out.token_ids


def test_an_interrupted_step_leaves_open_streams_as_they_were(llm, monkeypatch):
    """Copies of keys and values that wait for the next step survive a step that does not happen."""
    options = {"constraint": Liked(range(0, 64, 3)), "lookahead": 3, "candidates": 4, "reward_weight": 3.0}
    options |= {"max_new_tokens": 12}
    expected, moved = list(llm.stream([5, 9, 33], "cdlh", **options)), 0
    llm.generate([60] * 5, max_new_tokens=30, eos_token_id=[])  # or the slots would hold the right keys already
    graph = llm.engine._graph
    stream, found = llm.stream([5, 9, 33], "cdlh", **options), []
    for token in stream:
        found.append(token)
        moved += bool(llm.engine._moves)
        with monkeypatch.context() as patch:

            def interrupted(kind):
                def call(*arguments):
                    if len(found) % 2:
                        graph(kind)(*arguments)  # the graph may have run or not
                    raise KeyboardInterrupt

                return call

            patch.setattr(llm.engine, "_graph", interrupted)
            with pytest.raises(KeyboardInterrupt):
                llm.generate([7], "cold", max_new_tokens=3)
    assert found == expected and moved > 3 and llm.engine.used_slots == 0


def test_threads_may_share_a_model(llm, tmp_path, monkeypatch):
    """Whoever comes first: every call gives what it gives alone, nothing stays behind, and one graph runs at a time.

    A thread that runs a graph of either model sleeps a little, so that another would come in if it could.
    """
    models, running, together = [llm, load_random(tmp_path, seed=1)], [], []

    def slowed(graph):
        def find(kind):
            call = graph(kind)

            def run(*arguments):
                running.append(1)
                together.append(len(running))
                time.sleep(0.002)
                try:
                    return call(*arguments)
                finally:
                    running.pop()

            return run

        return find

    for model in models:
        monkeypatch.setattr(model.engine, "_graph", slowed(model.engine._graph))
    prompts = [[5, 9, 33], [7], [11, 12, 13, 14], [1, 2] * 9]
    methods = ["aded", "beam", "cold", "beam"]
    expected = [llm.generate(p, m, max_new_tokens=12).token_ids for p, m in zip(prompts, methods, strict=True)]
    found, errors = [[] for _ in prompts], []

    def work(i):
        try:
            for _ in range(4):
                found[i].append(models[i % 2].generate(prompts[i], methods[i], max_new_tokens=12).token_ids)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors and found == [[tokens] * 4 for tokens in expected]
    assert {*together} == {1} and all(model.engine.used_slots == 0 for model in models)


def test_the_loop_of_a_notebook_and_its_threads_may_share_a_model(llm):
    """A cell that calls in the loop's own thread while threads of cells before it still work; one of them gives up."""
    prompts = [[5, 9, 33], [7], [1, 2] * 9]
    alone = [llm.generate(prompt, "cold", max_new_tokens=12).token_ids for prompt in prompts]

    def given_up():
        stream = llm.stream([3, 4], max_new_tokens=50, eos_token_id=[])
        next(stream)
        stream.close()

    async def cells():
        behind = [asyncio.create_task(asyncio.to_thread(given_up))]
        for prompt in prompts * 2:
            call = partial(llm.generate, prompt, "cold", max_new_tokens=12)
            behind.append(asyncio.create_task(asyncio.to_thread(call)))
        await asyncio.sleep(0)
        here = [llm.generate(prompt, "cold", max_new_tokens=12) for prompt in prompts]
        return here, (await asyncio.gather(*behind))[1:]

    here, behind = asyncio.run(cells())
    assert [out.token_ids for out in here] == alone and [out.token_ids for out in behind] == alone * 2
    assert llm.engine.used_slots == 0


def test_scores_that_are_no_numbers_end_the_request(llm, monkeypatch):
    run = llm.engine.run

    def damaged(*arguments):
        out = run(*arguments)
        out.logprobs[:] = [np.nan] * len(out.logprobs)
        return out

    monkeypatch.setattr(llm.engine, "run", damaged)
    with pytest.raises(RequestError, match="scores: not a number"):
        llm.generate([5, 9], max_new_tokens=3)


def test_more_segments_than_a_step_can_name(llm):
    """Eight searches of 32 candidates under contrast: 256 rows of as many segments, and those they share."""
    requests = [
        Request(
            [5 + i, 9],
            "cdlh",
            constraint=Liked(range(0, 64, 3)),
            score="contrastive",
            alpha=1e-6,
            candidates=32,
            lookahead=2,
            exhaustive=True,
            draft="none",
            max_new_tokens=3,
        )
        for i in range(8)
    ]
    alone = [llm.generate(request).token_ids for request in requests]
    assert [out.token_ids for out in llm.generate(requests)] == alone


def test_sampled_drafts_keep_to_the_scores_a_step_hands_over(llm, monkeypatch):
    """Seventy nodes are asked for, a step hands over the scores of sixty-four heads."""
    heads, run = [], llm.engine.run
    monkeypatch.setattr(llm.engine, "run", lambda plan, *more: (heads.append(len(plan.heads)), run(plan, *more))[1])
    llm.warm_drafts([[5, 9, *range(10, 90)]] * 3)
    options = {"draft": "trigram", "draft_tokens": 64, "search": "best_first", "max_new_tokens": 70, "eos_token_id": []}
    outs = llm.generate([[5, 9], [5, 9]], "sample", temperature=3.0, **options)
    llm.forget_drafts()
    assert 2 < max(heads) <= 64 and all(out.stats.draft_cap for out in outs)
