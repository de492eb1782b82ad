"""What fails a proof, and what its report says."""

import copy

import ascend_report
import numpy as np
import prove
import pytest
from cases import Case
from faults import Outcome, live_pairs

ROW = {
    "operator": "tree_verify",
    "kernel": "tree_verify",
    "label": "int32",
    "target": "Ascend910B3",
    "executed": "Ascend910B3",
    "compiled": True,
    "cases": [{"name": "7 heads", "programs": 7, "instructions": {"S": 3, "V": 1200}, "bytes": 1_600_000}],
    "wrong": [],
    "calls": 9,
    "ub": 9632,
    "doubled": 2,
    "seconds": 0.1,
}
FAULTS = {"kernel": "tree_verify", "planted": {"wait left out": 99, "wait orders nothing": 9}, "missed": {}}
RESULT = {
    "rows": [ROW],
    "faults": [FAULTS],
    "interpreter": [{"kernel": "tree_verify", "label": "int32", "cases": 1, "wrong": [], "seconds": 0.1}],
    "bounded": True,
    "targets": ["Ascend910B3"],
    "seconds": 1.0,
}


@pytest.fixture
def result():
    return copy.deepcopy(RESULT)


def test_a_clean_proof_has_no_failures(result):
    assert prove.failures(result) == []


@pytest.mark.parametrize("part", ["rows", "interpreter"])
def test_a_difference_fails_the_proof(result, part):
    result[part][0]["wrong"] = ["7 heads: accepted is 1, not -1"]
    assert len(prove.failures(result)) == 1 and "accepted is 1" in prove.failures(result)[0]


def test_faults_that_nothing_notices_fail_the_proof(result):
    result["faults"][0]["missed"] = {"wait left out": ["a wait"] * 5}
    assert prove.failures(result) == ["94 of 99 planted faults were caught, 95% are wanted"]
    result["faults"][0]["missed"] = {"wait left out": ["a wait"] * 4, "wait orders nothing": ["a wait"] * 9}
    assert prove.failures(result) == []


def test_no_faults_fail_the_proof(result):
    result["faults"][0]["planted"] = {"wait orders nothing": 9}
    assert len(prove.failures(result)) == 1
    result["faults"][0]["error"] = "cannot be compiled"
    assert any("cannot be compiled" in line for line in prove.failures(result))


def test_the_page_has_each_kernel_and_no_stronger_claim(result):
    text = ascend_report.page(result)
    assert (
        "| `tree_verify` | int32 | 1 equal | 1 of 1 targets | 1 of 1 targets | 9,632 | 5% | 2 | 9 | no | no |" in text
    )
    assert "| `tree_verify` | int32 | 7 heads | 7 | 3 | 1,200 | 0 | 0 | 1,600,000 | 1.000 |" in text
    assert "not assembled, not run on an NPU" in " ".join(text.split()) and "**a calculation" in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
    result["rows"][0] |= {"compiled": False, "wrong": ["ub overflow"], "cases": []}
    assert "| 0 of 1 targets | 0 of 1 targets |" in ascend_report.page(result)


def test_a_report_is_written_in_one_piece(tmp_path):
    ascend_report.write(tmp_path / "page.md", "text\n")
    assert (tmp_path / "page.md").read_text() == "text\n" and len(list(tmp_path.iterdir())) == 1


def test_buffers_are_live_from_their_write_to_their_last_read():
    events = [(0, [], [0]), (1, [], [64]), (2, [0], [128]), (3, [64], []), (4, [128], [0]), (5, [0], [])]
    assert live_pairs(events) == {(0, 64), (64, 128)}


def test_an_outcome_counts():
    outcome = Outcome()
    outcome.add("wait left out", "first", True)
    outcome.add("wait left out", "second", False)
    assert outcome.planted == {"wait left out": 2} and outcome.missed == {"wait left out": ["second"]}


def case(expected, tolerance):
    y = np.zeros(3, np.float32)
    return Case("a case", {"x": np.full(3, np.nan, np.float32), "y": y}, {}, (1,), {"y": expected}, {"y": tolerance})


def test_differences_name_the_array_and_the_place():
    exact = case(np.array([0, 1, -np.inf], np.float32), 0.0)
    x, y = exact.fresh()
    assert exact.differences([x, y]) == ["a case: y is 0.0, not 1.0 at 1 (2 differ)"]
    y[:] = 0, 1, -np.inf
    assert exact.differences([x, y]) == []
    x[0] = 0  # what a kernel only reads must stay
    assert len(exact.differences([x, y])) == 1


def test_differences_within_a_tolerance():
    close = case(np.array([0, 100, -np.inf], np.float32), 1e-3)
    x = close.arrays["x"]
    assert close.differences([x, np.array([0.05, 100.05, -np.inf], np.float32)]) == []
    assert len(close.differences([x, np.array([0, 100.5, -np.inf], np.float32)])) == 1
    assert len(close.differences([x, np.array([0, 100, 0], np.float32)])) == 1
    assert len(close.differences([x, np.array([np.nan, 100, -np.inf], np.float32)])) == 1
