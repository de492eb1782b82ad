"""A bounded number of cases of options, command lines, batch files and draft tables."""

import pytest

from tests.fuzz.corpus import find_kinds, fuzz

CASES = {"options": 80, "command line": 70, "batch files": 40, "draft tables": 60}


@pytest.mark.parametrize("name", CASES)
def test_every_case_ends_well_or_in_one_line(name):
    found = fuzz(find_kinds()[name], CASES[name], seed=17)
    assert not found["faults"]
    assert found["cases"] == CASES[name] and found["accepted"] + found["refused"] == CASES[name]
    assert found["refused" if name == "command line" else "accepted"]  # hypothesis draws constants of loaded modules
