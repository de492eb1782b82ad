"""What the endurance script takes for growth."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[2] / "tools" / "endurance.py"
SPEC = importlib.util.spec_from_file_location("endurance", PATH)
endurance = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(endurance)

FLAT = {"megabytes": 700.0, "descriptors": 6, "threads": 12, "graphs": 20}


def test_growth_is_told_and_noise_is_not():
    assert endurance.grown([FLAT] * 12) == []
    assert endurance.grown([FLAT | {"megabytes": 700.0 + 5 * i, "graphs": 18 + (i > 5)} for i in range(12)]) == []
    assert endurance.grown([FLAT | {"descriptors": 6 + 40 * (i == 5)} for i in range(12)]) == []
    for name, step in (("megabytes", 25), ("descriptors", 1), ("threads", 1), ("graphs", 2)):
        (found,) = endurance.grown([FLAT | {name: FLAT[name] + step * i} for i in range(12)])
        assert found.startswith(f"{name}: ")


def test_every_kind_of_work_is_done_again_from_its_number():
    assert set(endurance.WORK) >= {"one", "together", "given_up", "interrupted", "threads", "drafts", "batch", "model"}
