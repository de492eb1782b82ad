"""What is chosen and what is recommended, on a model that is made up."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindcold.decoding import KeptPrompts
from mindcold.decoding_defaults import DecodingDefaults
from mindcold.errors import RequestError
from mindcold.tasks import TASKS, Item
from mindcold.tuning import Grid, report, tune, tuning

GRID = Grid((0.1, 0.5), (0.5, 1.0))


class FakeLLM:
    """Right on an item where `right(number, method, alpha, beta)` says so; `times` are seconds by draft and size."""

    kept_prompts = KeptPrompts(0)

    def __init__(self, clock, right, times=None):
        self.clock, self.right, self.times = clock, right, times or {}
        self.together, self.seen, self.trigrams = [], [], []

    def forget_drafts(self):
        self.trigrams = []

    def generate(self, prompt, method=None, **options):
        if isinstance(prompt, list):
            self.together.append(len(prompt))
            return [self.one(item.prompt, item.method, **item.options) for item in prompt]
        self.seen.append(prompt)
        return self.one(prompt, method, **options)

    def one(self, prompt, method, alpha=None, beta=None, draft="none", draft_tokens=None, max_new_tokens=64):
        right = self.right(int(prompt.split()[0]), method, alpha, beta)
        self.clock.now += self.times.get((draft, draft_tokens), 1.0)
        stats = SimpleNamespace(
            target_passes=1, draft_passes=0, error=None, drafted=0, accepted=0, weight_bytes=0, kv_bytes=0
        )
        return SimpleNamespace(text="yes" if right else "no", token_ids=[int(right)], stats=stats)


@pytest.fixture
def clock(monkeypatch):
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr("mindcold.tasks.evaluate.time", SimpleNamespace(perf_counter=lambda: found.now))
    return found


def items(count):
    return [Item(f"{i} is a number", ("yes",), group="ab"[i % 2], scorer="exact") for i in range(count)]


def good(number, method, alpha, beta):
    """One setting is right on nearly all items, the others and greedy on fewer than half of them."""
    return number % 11 != 0 if (alpha, beta) == (0.5, 1.0) else number % 11 < 5


def run(llm, count=80, **settings):
    return tune(llm, TASKS["jsonl"], items(count), GRID, chat=False, **settings)


def test_a_setting_that_wins_on_the_other_half_is_recommended(clock):
    found = run(llm := FakeLLM(clock, good))
    assert found.best.label == "cold:alpha=0.5,beta=1" and found.wins and "is recommended" in found.verdict
    assert found.gain.low > 0 and found.metric == "accuracy"
    assert llm.together == [5] * 40  # greedy and every setting, on half of the items
    chosen, tested = ({item.prompt for item in part.items} for part in (found.chosen_on, found.tested_on))
    assert len(chosen) == len(tested) == 40 and not chosen & tested
    assert {item.prompt for item in items(80)} == chosen | tested and {text.strip() for text in llm.seen} <= tested
    assert list(found.tested_on.records) == ["greedy", "cold:alpha=0.5,beta=1"]
    assert found.defaults == DecodingDefaults("cold", 0.5, 1.0, "none")


def test_a_setting_that_wins_by_chance_is_not(clock):
    """Best on the half it is chosen on, no better than greedy on the other."""
    first, _ = tuning.halves(items(80))
    lucky = {int(item.prompt.split()[0]) for item in first}

    def right(number, method, alpha, beta):
        return number % 11 < 5 or (alpha == 0.1 and beta == 0.5 and number in lucky)

    found = run(FakeLLM(clock, right))
    assert found.best.label == "cold:alpha=0.1,beta=0.5" and not found.wins
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)
    assert found.verdict.startswith("plain greedy is recommended, not cold:alpha=0.1,beta=0.5")
    assert found.defaults == DecodingDefaults("greedy", draft="none")


def test_few_items_are_too_few(clock):
    found = run(FakeLLM(clock, lambda number, method, alpha, beta: method == "cold"), count=38)
    assert found.gain.low == 1.0 and not found.wins and "19 items to test on are too few" in found.verdict
    assert run(FakeLLM(clock, lambda number, method, alpha, beta: method == "cold"), count=40).wins
    with pytest.raises(RequestError, match="two items at least"):
        run(FakeLLM(clock, good), count=1)


def test_of_equal_settings_the_nearest_to_greedy_is_chosen(clock):
    found = run(FakeLLM(clock, lambda number, method, alpha, beta: True))
    assert found.best.label == "cold:alpha=0.5,beta=0.5"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({}, ("none", None)),
        ({("trigram", None): 1.2, ("trigram", 4): 1.1}, ("none", None)),
        ({("trigram", None): 0.5, ("trigram", 4): 0.6}, ("trigram", None)),
        ({("trigram", None): 0.5, ("trigram", 4): 0.5, ("trigram", 8): 0.4}, ("trigram", 8)),
        ({("trigram", None): 1.5, ("trigram", 4): 0.9}, ("trigram", 4)),
        ({("trigram", None): 0.5, ("trigram", 4): 0.3, ("trigram", 8): 0.2}, ("trigram", 8)),
    ],
)
def test_drafts_are_recommended_where_they_are_faster(clock, times, expected):
    found = run(FakeLLM(clock, good, times), drafts=(4, 8))
    assert list(found.drafts.records)[1:] == [
        f"cold:alpha=0.5,beta=1,draft=trigram{size}" for size in ("", ",draft_tokens=4", ",draft_tokens=8")
    ]
    assert (found.defaults.draft, found.defaults.draft_tokens) == expected
    assert found.defaults.method == "cold"


def test_drafts_that_change_a_text_are_never_recommended(clock):
    class Changing(FakeLLM):
        def one(self, prompt, method, draft="none", **options):
            out = super().one(prompt, method, draft=draft, **options)
            out.token_ids += [7] * (draft != "none" and prompt.startswith("3 "))
            return out

    found = run(Changing(clock, good, {("trigram", None): 0.1, ("trigram", 4): 0.1}), drafts=(4,))
    texts = [[record.token_ids for record in records] for records in found.drafts.records.values()]
    assert texts[0] != texts[1] and found.defaults.draft == "none"


def test_drafts_are_tried_with_greedy_where_it_is_recommended(clock):
    found = run(FakeLLM(clock, lambda *_: True, {("trigram", None): 0.5}))
    assert list(found.drafts.records) == ["greedy", "greedy:draft=trigram"]
    assert found.defaults == DecodingDefaults("greedy", draft="trigram")
    without = run(FakeLLM(clock, lambda *_: True), drafts=None)
    assert without.drafts is None and without.defaults == DecodingDefaults()


def test_a_task_without_score_is_refused(clock):
    with pytest.raises(RequestError, match="task: 'humaneval' has no score"):
        tune(FakeLLM(clock, good), TASKS["humaneval"], items(4), GRID)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=40))
def test_halves_share_nothing_and_hold_all_groups_alike(groups):
    given_items = [Item(str(i), group=group) for i, group in enumerate(groups)]
    first, second = tuning.halves(given_items)
    assert sorted(first + second, key=lambda item: int(item.prompt)) == given_items
    assert 0 <= len(first) - len(second) <= 1
    for group in set(groups):
        assert abs(sum(item.group == group for item in first) - sum(item.group == group for item in second)) <= 1
    for part in (first, second):
        assert part == sorted(part, key=lambda item: int(item.prompt))


def test_tables_json_and_picture(clock, tmp_path):
    found = run(FakeLLM(clock, good, {("trigram", None): 0.5}), drafts=(4,))
    text = report.text(found)
    lines = text.splitlines()
    numbers = [int(item.prompt.split()[0]) for item in found.chosen_on.items]
    greedy = sum(number % 11 < 5 for number in numbers) / 40
    assert f"on the 40 items settings are chosen on; greedy {100 * greedy:.1f}" in lines[0] and "the best of 4" in text
    row = next(line for line in lines if line.startswith("0.5 "))
    best = report.scores(found)[1, 1]
    assert row.split()[-1] == f"{100 * best:.1f}" and best == pytest.approx(
        sum(number % 11 != 0 for number in numbers) / 40
    )
    assert "cold:alpha=0.5,beta=1,draft=trigram is recommended" in text and found.verdict in text
    result = json.loads(json.dumps(report.to_dict(found)))
    assert [(row["alpha"], row["beta"]) for row in result["grid"]] == [(0.1, 0.5), (0.1, 1.0), (0.5, 0.5), (0.5, 1.0)]
    assert result["grid"][3]["accuracy"]["value"] == pytest.approx(best) and result["greedy"]["value"] == greedy
    assert result["grid"][3]["difference"]["value"] == pytest.approx(best - greedy)
    assert result["wins"] is True and result["defaults"] == {
        "method": "cold",
        "alpha": 0.5,
        "beta": 1,
        "draft": "trigram",
    }
    report.picture(found, "title", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert "no drafts are recommended" in report.text(run(FakeLLM(clock, good)))
