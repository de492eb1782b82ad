"""How many tokens need the loaded weights, on a model that is made up."""

import json
from types import SimpleNamespace

import pytest

from mindcold.decoding_defaults import DecodingDefaults
from mindcold.tasks import TASKS
from mindcold.tuning import report, tune
from tests.tuning.test_tuning import GRID, FakeLLM, clock, good, items

__all__ = ["clock"]


class Progressive(FakeLLM):
    """As good as the method itself with `enough` tokens in high precision, and then at `seconds`."""

    def __init__(self, clock, right, enough, seconds=0.5, **times):
        super().__init__(clock, right, **times)
        self.enough, self.seconds, self.tried = enough, seconds, []

    def one(self, prompt, method, high_precision_steps=None, score=None, alpha=None, beta=None, **options):
        if method != "pmpd":
            return super().one(prompt, method, alpha, beta, **options)
        self.tried.append((high_precision_steps, score, alpha, beta))
        self.clock.now += self.seconds - 1.0
        kept = high_precision_steps >= self.enough or int(prompt.split()[0]) % 2
        found = super().one(prompt, "cold" if score else "greedy", alpha, beta, **options)
        return found if kept else SimpleNamespace(text="no", token_ids=[0], stats=found.stats)


def run(llm, steps=(8, 2, 4), count=80, **settings):
    return tune(
        llm, TASKS["jsonl"], items(count), GRID, chat=False, high_precision_steps=steps, drafts=None, **settings
    )


def plain(number, method, alpha, beta):
    return number % 5 > 0


def test_the_fewest_tokens_that_keep_the_score_are_chosen(clock):
    found = run(llm := Progressive(clock, plain, enough=4))
    assert [form.options["high_precision_steps"] for form in found.precision.forms] == [2, 4, 8]
    assert found.precision.chosen.label == "pmpd:high_precision_steps=4" and found.precision.recommended
    chosen, tested = ({item.prompt for item in part.items} for part in (found.chosen_on, found.tested_on))
    assert {item.prompt for item in found.precision.chosen_on.items} == chosen
    assert {item.prompt for item in found.precision.tested_on.items} == tested
    assert found.defaults == DecodingDefaults("pmpd", high_precision_steps=4)
    assert set(llm.tried) == {(2, None, None, None), (4, None, None, None), (8, None, None, None)}
    text, result = report.text(found), json.loads(json.dumps(report.to_dict(found)))
    assert "pmpd:high_precision_steps=4 is recommended: it is faster" in text
    assert result["precision"]["recommended"] is True and len(result["precision"]["chosen_on"]) == 4
    assert result["defaults"] == {"method": "pmpd", "high_precision_steps": 4}


def test_it_goes_on_from_the_contrast_that_has_won(clock):
    found = run(Progressive(clock, good, enough=1))
    assert found.precision.chosen.label == "pmpd:high_precision_steps=2,score=contrastive,alpha=0.5,beta=1"
    defaults = found.defaults
    assert defaults == DecodingDefaults("pmpd", 0.5, 1, score="contrastive", high_precision_steps=2)
    assert defaults.complete(None, {"seed": 1}) == (
        "pmpd",
        {"seed": 1, "score": "contrastive", "high_precision_steps": 2, "alpha": 0.5, "beta": 1},
    )
    assert defaults.complete("pmpd", {"high_precision_steps": 9, "beta": 2})[1]["high_precision_steps"] == 9
    assert defaults.complete("greedy", {}) == ("greedy", {})


@pytest.mark.parametrize("settings", [{"enough": 99}, {"enough": 1, "seconds": 1.2}, {"enough": 1, "count": 30}])
def test_what_is_worse_or_slower_or_tested_on_few_items_is_not_recommended(clock, settings):
    count = settings.pop("count", 80)
    found = run(Progressive(clock, plain, **settings), count=count)
    assert not found.precision.recommended and found.defaults.method == "greedy"
    assert "is not recommended" in report.text(found)


def test_defaults_are_read_from_a_file(tmp_path):
    path = DecodingDefaults("pmpd", 0.5, 1.0, score="contrastive", high_precision_steps=3).write(tmp_path)
    assert DecodingDefaults.of_folder(tmp_path) == DecodingDefaults(
        "pmpd", 0.5, 1.0, score="contrastive", high_precision_steps=3
    )
    path.write_text(json.dumps({"method": "greedy", "high_precision_steps": 3}), encoding="utf-8")
    with pytest.raises(Exception, match="high_precision_steps: method 'greedy' has no use for it"):
        DecodingDefaults.of_folder(tmp_path)
