"""The order of what is measured, and the times taken from it, on a model that only counts."""

import re
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from mindcold.bench.cases import DRAFTS, Case, lookahead, select
from mindcold.bench.drafts import rows
from mindcold.bench.generations import measure, milliseconds, per_token
from mindcold.bench.items import Item
from mindcold.errors import RequestError
from mindcold.sampling_params import SamplingParams


def output(seconds, tokens=3, first=0.0):
    return SimpleNamespace(token_ids=[0] * tokens, stats=SimpleNamespace(seconds=seconds, seconds_to_first_token=first))


def test_time_per_answer_stands_beside_time_per_token():
    """Twice as fast per token and four times as long: an answer takes twice the time."""

    def answer(seconds, tokens):
        out = output(seconds, tokens)
        more = {"target_passes": tokens, "drafted": 0, "drafting_seconds": 0.0, "accept_lengths": (tokens,)}
        out.stats.__dict__.update(more)
        return out

    found = {"base greedy": [[answer(1.0, 11)]], "CoLD": [[answer(2.0, 41)]]}
    base, cold = rows(found, {name: DRAFTS[name] for name in found}, [Item("a")])
    assert (cold["x base"], cold["x base, answer"]) == (0.5, 2.0) and (base["x base"], base["x base, answer"]) == (1, 1)
    assert (cold["ms per token"], cold["ms per answer"], cold["tokens per answer"]) == (50.0, 2000.0, 41.0)


@dataclass
class CountingLLM:
    """Notes what it is asked for and which draft tables it has then."""

    trigrams: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(shared="empty"))
    calls: list = field(default_factory=list)

    def warm_drafts(self, texts):
        self.trigrams = SimpleNamespace(shared=tuple(texts))

    def forget_drafts(self):
        self.trigrams = SimpleNamespace(shared="empty")

    def generate(self, prompt, **keywords):
        self.calls.append((prompt, keywords["method"], self.trigrams.shared, id(self.trigrams)))
        return output(1.0)


CASES = {
    "cold": Case({"method": "cold"}),
    "warm": Case({"method": "warm"}, warmed_up=True),
    "draft": Case({"method": "draft"}, draft_model_alone=True),
}


def test_cases_take_turns_and_keep_their_own_tables_for_a_round():
    llm, draft = CountingLLM(), CountingLLM()
    found = measure(llm, [Item("a"), Item("b")], CASES, 2, 8, ["text"], draft)
    assert [len(rounds) for rounds in found.values()] == [2, 2, 2] and all(
        len(outs) == 2 for rounds in found.values() for outs in rounds
    )
    asked = [(prompt, method, shared) for prompt, method, shared, _ in llm.calls]
    assert asked == 3 * [(p, m, s) for p in "ab" for m, s in (("cold", "empty"), ("warm", ("text",)))]
    assert [call[:2] for call in draft.calls] == 3 * [("a", "draft"), ("b", "draft")]
    tables = [call[3] for call in llm.calls]
    assert tables[0] == tables[2] != tables[1] == tables[3]  # within a round


def test_times_are_medians_over_rounds_and_means_over_items():
    rounds = [[output(s, tokens, 0.5) for s, tokens in ((a, 3), (b, 5))] for a, b in ((1, 10), (2, 20), (9, 30))]
    assert milliseconds(rounds) == pytest.approx(1e3 * (2 + 20) / 2)
    assert per_token(rounds) == pytest.approx(1e3 * (1.5 + 19.5) / (2 + 4))


def test_a_selection_brings_what_it_is_compared_with():
    assert list(select(DRAFTS, ["cold + TRIGRAM drafts, warmed"], ("base greedy",))) == [
        "base greedy",
        "CoLD",
        "CoLD + trigram drafts, warmed up",
    ]
    assert select(DRAFTS, [], ()) == DRAFTS
    with pytest.raises(RequestError, match="'nothing' is in none of"):
        select(DRAFTS, ["CoLD", "nothing"], ())


def test_names_say_what_is_measured():
    assert all("warmed up" in name for name, case in DRAFTS.items() if case.warmed_up)
    published = DRAFTS["ADED as published, warmed up"].settings
    assert published == {"method": "aded", "search": "mcts", "adaptation": "aded", "draft_tokens": 64}
    cases = lookahead("some-model")
    assert cases["CDSL"].settings == {"method": "cdsl", "draft": "some-model"}
    assert cases["CDLH"].settings == {"method": "cdlh"}  # pruned like CDSL; exhaustive is a row of its own
    assert cases["CDSL, trigram drafts"].settings["draft"] == "trigram"
    assert [name for name, case in cases.items() if case.draft_model_alone] == ["draft model alone"]
    for name, case in cases.items():  # what a name does not say is the default
        said = {key: float(value) for key, value in re.findall(r"(tau_a|tau_r|lookahead) ([\d.]+)", name)}
        said |= {"exhaustive": True} if "exhaustive" in name else {}
        assert {key: case.settings.get(key) for key in ("tau_a", "tau_r", "lookahead", "exhaustive")} == dict.fromkeys(
            ("tau_a", "tau_r", "lookahead", "exhaustive")
        ) | said
    params = SamplingParams()
    assert (params.tau_a, params.tau_r) == (0.5, 1.0) and "tau_a 0.5, tau_r 1" in lookahead.__doc__
