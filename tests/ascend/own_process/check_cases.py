"""What the check of a host calls on an NPU, here over the stand-ins: each of its cases is right."""

import importlib
import sys
from pathlib import Path

import pytest

from mindcold.ops import registry
from tests.ascend.kernels import KERNELS, launches
from tests.ascend.stand_ins import ascend_graph

TOOLS = str(Path(__file__).parents[3] / "tools")
TRITON = {
    "contrastive_score, triton",
    "tree_verify, triton",
    "lora_linear, triton shrink and expand",
    "tree_attention, triton moves",
    "trigram_draft, triton lookup",
}


@pytest.fixture
def checks(monkeypatch):
    """The bodies and cases of the check; every body that is not for CPU alone says that it can run."""
    monkeypatch.syspath_prepend(TOOLS)
    found = [importlib.import_module(f"checks.{name}") for name in ("bodies", "cases", "step")]
    monkeypatch.setattr(registry.Body, "unavailable_reason", lambda body: "left out" if body.device == "CPU" else None)
    monkeypatch.setattr(found[1].ms, "jit", lambda function: function)  # stand-ins are called, not compiled
    yield found
    for name in [name for name in sys.modules if name.split(".")[0] == "checks"]:
        monkeypatch.delitem(sys.modules, name)


def test_every_case_is_right(checks, monkeypatch):
    bodies, _, step = checks
    setting, made = step.Setting("CPU", 1, 1, ""), launches(monkeypatch)
    with ascend_graph():
        graph, launched = bodies.contracts(setting), bodies.launched(setting)
    assert {name: row for name, row in (graph | launched).items() if row["state"] == "failed"} == {}
    assert {name for name, row in graph.items() if row["state"] == "missing"} == {n for n in graph if "aot" in n}
    assert {f"{name}, ascend" for name in ("lora_linear", "rope", "swiglu", "tree_attention")} < set(graph)
    assert set(launched) >= TRITON
    assert all(made[name].count for name in KERNELS)
