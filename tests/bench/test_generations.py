"""The order of what is measured, and the times taken from it, on a model that only counts."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from mindcold.bench.cases import DRAFTS, Case, lookahead, select
from mindcold.bench.generations import measure, milliseconds, per_token
from mindcold.bench.items import Item
from mindcold.errors import RequestError


def output(seconds, tokens=3, first=0.0):
    return SimpleNamespace(token_ids=[0] * tokens, stats=SimpleNamespace(seconds=seconds, seconds_to_first_token=first))


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
