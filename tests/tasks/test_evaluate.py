"""The evaluation loop on a model that is made up, and its report."""

import json
from types import SimpleNamespace
from typing import ClassVar

import pytest

from mindcold.constraints import Keywords
from mindcold.decoding import KeptPrompts
from mindcold.errors import RequestError
from mindcold.request import Request
from mindcold.tasks import TASKS, Item
from mindcold.tasks.evaluate import evaluate
from mindcold.tasks.methods import parse_methods
from mindcold.tasks.report import group_rows, picture, plain, rows, table


class FakeLLM:
    """Answers an item when the method is "cold"; "cdlh" answers half of them."""

    kept_prompts = KeptPrompts(0)

    def __init__(self):
        self.calls, self.forgotten, self.trigrams = [], 0, []

    def forget_drafts(self):
        self.forgotten += 1
        self.trigrams = []

    def generate(self, prompt, method=None, **options):
        if isinstance(prompt, list) and isinstance(prompt[0], Request):
            return [self.generate(item.prompt, item.method, **item.options) for item in prompt]
        self.calls.append((prompt, method, options))
        self.trigrams.append(method)
        number = int((prompt if isinstance(prompt, str) else prompt[0]["content"]).split()[0])
        right = method == "cold" or (method == "cdlh" and number % 2)
        ids = list(range(4)) if right else [1]
        contrast = method == "cold"
        passes, memory = (
            {"target_passes": len(ids) * (1 + contrast), "draft_passes": 3 * contrast},
            {"weight_bytes": 7, "kv_bytes": 5},
        )
        stats = SimpleNamespace(error=None, drafted=4, accepted=3, **passes, **memory)
        return SimpleNamespace(text="yes" if right else "no", token_ids=ids, stats=stats)


ITEMS = [Item(f"{i} is a number", ("yes",), Keywords(["yes"]), "odd" if i % 2 else "even", scorer="exact")
         for i in range(20)]  # fmt: skip


@pytest.fixture
def found():
    llm = FakeLLM()
    return evaluate(llm, TASKS["jsonl"], ITEMS, parse_methods("greedy;cold:beta=1;cdlh")), llm


def test_every_method_sees_every_item_in_turn(found):
    result, llm = found
    calls = llm.calls[6:]  # the longest and the shortest prompt come first, unmeasured
    assert len(llm.calls) == 66 and {call[0][0]["content"] for call in llm.calls[:6]} == {
        "19 is a number",
        "0 is a number",
    }
    assert [call[0][0]["content"] for call in calls] == [item.prompt for item in ITEMS for _ in range(3)]
    assert [[call[1] for call in calls[3 * i : 3 * i + 3]] for i in range(3)] == [
        ["greedy", "cold", "cdlh"],
        ["cold", "cdlh", "greedy"],
        ["cdlh", "greedy", "cold"],
    ]
    assert llm.forgotten == 66
    for _, method, options in calls:
        expected = {"max_new_tokens": 64} | ({"beta": 1} if method == "cold" else {})
        assert {key: value for key, value in options.items() if key != "constraint"} == expected
        assert ("constraint" in options) == (method == "cdlh")
    assert [record.text for record in result.records["cdlh"]] == ["no", "yes"] * 10


def test_settings_reach_the_model():
    llm = FakeLLM()
    settings = {"chat": False, "max_new_tokens": 5}
    evaluate(llm, TASKS["jsonl"], ITEMS[:1], parse_methods("greedy"), **settings)
    assert llm.calls[-1] == ("0 is a number\n", "greedy", {"max_new_tokens": 5})


def test_drafts_that_are_kept_learn_from_the_items_of_one_method_alone():
    class Watched(FakeLLM):
        known = []

        def generate(self, prompt, method, **options):
            self.known.append((method, list(self.trigrams)))
            return super().generate(prompt, method, **options)

    llm = Watched()
    evaluate(llm, TASKS["jsonl"], ITEMS[:4], parse_methods("greedy;cold"), keep_drafts=True)
    measured = llm.known[4:]  # the warm-up is forgotten
    assert [len(seen) for _, seen in measured] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert all(set(seen) <= {method} for method, seen in measured) and llm.forgotten == 4


def test_every_method_keeps_prompts_of_its_own():
    class Keeping(FakeLLM):
        kept_prompts = KeptPrompts(70)
        stores: ClassVar[list] = []

        def generate(self, prompt, method, **options):
            self.stores.append((method, self.kept_prompts))
            return super().generate(prompt, method, **options)

    llm = Keeping()
    evaluate(llm, TASKS["jsonl"], ITEMS[:4], parse_methods("greedy;cold"))
    used = {method: {id(kept) for other, kept in llm.stores if other == method} for method in ("greedy", "cold")}
    assert len(used["greedy"]) == len(used["cold"]) == 1 and used["greedy"] != used["cold"]
    assert llm.kept_prompts is Keeping.kept_prompts and {kept.slots for _, kept in llm.stores} == {70}


def test_methods_together_give_the_same_texts(found):
    llm = FakeLLM()
    methods = parse_methods("greedy;cold:beta=1;cdlh")
    result = evaluate(llm, TASKS["jsonl"], ITEMS, methods, together=True)
    assert len(llm.calls) == 60  # nothing is warmed up
    for label, records in found[0].records.items():
        texts = [(item.text, item.scores) for item in records]
        assert [(item.text, item.scores) for item in result.records[label]] == texts

    class Failing(FakeLLM):
        def generate(self, prompt, method=None, **options):
            out = super().generate(prompt, method, **options)
            for item in out if isinstance(out, list) else ():
                item.stats.error = "no room"
            return out

    with pytest.raises(RequestError, match="no room"):
        evaluate(Failing(), TASKS["jsonl"], ITEMS[:2], methods, together=True)


def test_figures(found):
    greedy, cold, cdlh = rows(found[0])
    assert (greedy["accuracy"].value, cold["accuracy"].value, cdlh["accuracy"].value) == (0.0, 1.0, 0.5)
    assert greedy["accuracy, difference"] is None and greedy["x first"] is None
    assert cold["accuracy, difference"].value == 1.0 and cdlh["accuracy, difference"].excludes_zero
    assert cold["tokens"] == 4 and cold["target passes"] == 8 and cold["draft passes"] == 3
    assert cold["tokens per pass"].value == 0.5 and cdlh["tokens per pass"].value == 1.0
    assert (cold["same text"], cdlh["same text"]) == (0.0, 0.5)
    by_group = {(row["group"], row["method"]): row for row in group_rows(found[0])}
    assert len(by_group) == 6 and by_group["odd", "cdlh"]["accuracy"].value == 1.0
    assert by_group["even", "cdlh"]["accuracy"].value == 0.0 and by_group["even", "cdlh"]["items"] == 10


def test_table_json_and_picture(found, tmp_path):
    result = found[0]
    for part in (rows(result), group_rows(result)):
        lines = table(part, result.metrics).splitlines()
        assert len(lines) == len(part) + 2 and "cold:beta=1" in lines[3]
    text = table(rows(result), result.metrics)
    assert "100.0 (100.0 to 100.0)" in text and "+50.0* (" in text and "same text" in text
    assert json.loads(json.dumps([plain(row) for row in rows(result)]))[1]["accuracy"] == {
        "value": 1,
        "low": 1,
        "high": 1,
    }
    assert json.dumps(result.to_dict()) and len(result.to_dict()[3]["methods"]) == 3
    picture(rows(result), result.metrics, "title", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_a_task_without_score(tmp_path):
    result = evaluate(FakeLLM(), TASKS["humaneval"], ITEMS[:4], parse_methods("greedy;cold"))
    assert result.metrics == [] and not any("difference" in name for name in rows(result)[0])
    assert "tokens per pass" in table(rows(result), [])
    picture(rows(result), [], "title", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
