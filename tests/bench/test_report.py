"""Intervals, ratios, tables and files of measurements."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindcold.bench.report import ratio, share, show, task_rows, write_json
from mindcold.errors import RequestError


def interval(text):
    mean, low, high = text.replace("%", "").replace("(", "").replace(")", "").replace("-", " ").split()
    return float(mean), int(low), int(high)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_the_interval_holds_the_share(values):
    mean, low, high = interval(share(values, 500))
    assert 0 <= low <= mean + 1 and mean - 1 <= high <= 100
    assert (low == high == round(mean)) == (len(set(values)) == 1)


def test_the_interval_is_that_of_the_binomial_law():
    mean, low, high = interval(share([True] * 20 + [False] * 20))
    assert mean == 50 and 33 <= low <= 36 and 64 <= high <= 67  # 0.5 +- 1.96 * sqrt(0.25 / 40)
    assert interval(share([True] * 200 + [False] * 200))[1] > 44


def test_ratios_are_taken_round_by_round():
    times = {"a": [1.0, 10.0, 3.0], "b": [1.0, 2.0, 1.0]}  # the ratio of the medians is another one
    assert ratio(times, "a", "b") == 3.0 and ratio(times, "a", "c") is None


def test_tasks_are_compared_within_their_dtype_and_batch():
    times = {"x greedy": [2.0], "x CoLD": [3.0], "x batch 4 greedy": [8.0], "x batch 4 CoLD": [16.0], "y CoLD": [1.0]}
    found = {row["task"]: row["x greedy"] for row in task_rows(times, ("greedy",))}
    assert found == {"x greedy": 1.0, "x CoLD": 1.5, "x batch 4 greedy": 1.0, "x batch 4 CoLD": 2.0, "y CoLD": None}


def test_results_are_tables_or_json(capsys, tmp_path):
    result = {"setting": {"model": "m"}, "rows": [{"a": 1, "b": None}], "none": []}
    show(result, False, tmp_path / "new" / "folder", "name")
    out = capsys.readouterr().out
    assert out.startswith("model m, cores") and "  a" in out and "none" not in out
    assert json.loads((tmp_path / "new" / "folder" / "name.json").read_text())["rows"] == [{"a": 1, "b": None}]
    show(result, True, None, "name")
    assert json.loads(capsys.readouterr().out)["setting"]["model"] == "m"


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"file/name\.json: "):
        write_json(tmp_path / "file" / "name.json", {})
