"""A bounded number of cases of what strangers make: models, adapters, templates and constraints."""

import pytest

from tests.fuzz.corpus import find_kinds, fuzz

CASES = {"model folders": 40, "adapter folders": 80, "chat templates": 80, "constraints": 50}


@pytest.mark.parametrize("name", CASES)
def test_every_case_ends_well_or_in_one_line(name, monkeypatch):
    kind = find_kinds()[name]
    monkeypatch.setattr("mindcold.chat.SECONDS", 0.5)
    monkeypatch.setattr("mindcold.adapter_formats.patterns.SECONDS", 0.5)
    if hasattr(kind, "SECONDS"):
        monkeypatch.setattr(kind, "SECONDS", 0.5)
    found = fuzz(kind, CASES[name], seed=17)
    assert not found["faults"]
    assert found["cases"] == CASES[name] and found["accepted"] and found["refused"]
