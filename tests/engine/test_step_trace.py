"""The trace of steps: what operators count, and how it is put together."""

import subprocess
import sys
import time

import pytest

from mindcold.engine import step_trace
from mindcold.engine.step_trace import StepTrace
from mindcold.ops import trace
from mindcold.ops.trace import Part
from tests.folders import write_model


def test_nothing_is_counted_unless_asked_for(tmp_path):
    import mindcold

    llm = mindcold.load(write_model(tmp_path / "model"))
    trace.take()
    llm.generate([5, 6], max_new_tokens=2)
    assert trace.take() == {}
    trace.start()
    try:
        started = time.perf_counter()
        llm.generate([5, 6], max_new_tokens=2)
        elapsed, parts = time.perf_counter() - started, trace.take()
    finally:
        trace.stop()
    assert parts["attention"].count == parts["qkv_proj"].count == 2 * parts["embedding"].count > 0  # two layers
    assert 0 < sum(part.seconds for part in parts.values()) < elapsed
    assert trace.take() == {}


def test_a_step_is_the_sum_of_its_parts(monkeypatch):
    given = iter(
        [{"attention": Part(9, 9.0)}, {"attention": Part(2, 0.25), "rope": Part(2, 0.5)}, {"rope": Part(1, 1.0)}]
    )
    monkeypatch.setattr(step_trace.trace, "take", lambda: next(given))
    counted = StepTrace()
    counted.add(1, None)  # compiled: left out
    counted.add(1, 1.0)
    counted.add(1, 2.0)
    assert counted.table().splitlines() == [
        "step of 1 rows: 2 times, 1500.000 ms",
        "  rope                 750.000 ms   50.0 %",
        "  between operators    625.000 ms   41.7 %",
        "  attention            125.000 ms    8.3 %",
    ]


@pytest.mark.parametrize("value", ["1", "0"])
def test_a_process_prints_it_if_its_environment_says_so(value, tmp_path, monkeypatch):
    monkeypatch.setenv("MINDCOLD_TRACE", value)
    model = write_model(tmp_path / "model")
    command = [
        sys.executable,
        "-m",
        "mindcold",
        "generate",
        "--model",
        str(model),
        "--ids",
        "5,6",
        "--max-new-tokens",
        "4",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300, check=True)
    assert ("step of 1 rows:" in done.stderr) == (value == "1")
