"""The check of a host: on one without an NPU it goes as far as it can, and its two files have one form."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def checks():
    """The modules of the tool, found as by the script."""
    sys.path.insert(0, str(TOOLS))
    try:
        yield {
            name: importlib.import_module(f"checks.{name}") for name in ("step", "host", "kernels", "bodies", "models")
        }
    finally:
        sys.path.remove(str(TOOLS))


def run(*arguments):
    command = [sys.executable, str(TOOLS / "check_ascend.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


STEPS = ("versions", "cann", "chip", "device", "bodies", "objects", "contracts", "kernels", "speed")


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    done = run("--output", str(folder), "--repeats", "2", "--model", "", "--only", *STEPS)
    return done, folder


def test_without_an_npu_it_says_what_is_missing_and_ends_well(walked):
    done, folder = walked
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / "ascend-check.json").read_text())
    states = {name: step["state"] for name, step in report["steps"].items()}
    assert list(states) == list(STEPS) and report["device"] == "CPU"
    missing = {"cann", "chip", "device", "objects", "speed"}
    assert {name for name, state in states.items() if state == "missing"} == missing
    assert {state for name, state in states.items() if name not in missing} == {"ok"}
    for name in missing:
        assert report["steps"][name]["install"] and report["steps"][name]["message"]
    assert "4 ok, 5 missing, 0 failed" in done.stdout and not list(folder.glob("partial-*"))


CASES = (
    *("contrastive_score", "contrastive_score, 4 best", "tree_verify", "lora_linear", "swiglu", "rope"),
    "tree_attention",
)


def test_the_json_has_a_fixed_form(walked):
    report = json.loads((walked[1] / "ascend-check.json").read_text())
    assert list(report) == ["format", "when", "device", "steps"] and report["format"] == 1
    for step in report["steps"].values():
        assert list(step) == ["state", "seconds", "message", "install", "figures"]
    rows = report["steps"]["contracts"]["figures"]
    assert {name for name, row in rows.items() if row["state"] == "ok"} == {
        f"{operator}, {body}" for operator in CASES for body in ("aot", "builtin")
    }
    assert rows["rope, ascend"] == {"state": "missing", "message": "the device is CPU, this body is for Ascend"}
    assert all({"deviation", "us", "x builtin"} <= set(row) for row in rows.values() if row["state"] == "ok")
    kernels = report["steps"]["kernels"]["figures"]
    assert {name for name, row in kernels.items() if row["state"] == "missing"} == {
        "contrastive_score, triton",
        "contrastive_score, 4 best, triton",
        "tree_verify, triton",
        "lora_linear, triton shrink and expand",
        "tree_attention, triton moves",
        "trigram_draft, triton lookup",
    }


def test_the_page_claims_no_npu(walked):
    page = (walked[1] / "ascend-check.md").read_text()
    assert "Computed on CPU: nothing here was run on an NPU." in page
    assert "| CANN and its compiler | missing |" in page and "What to install:" in page
    assert "| tree_attention, builtin | ok |" in page


def test_a_step_that_fails_or_crashes_or_hangs_ends_no_other(checks):
    step = checks["step"]
    setting = step.Setting("CPU", 1, 1, "")

    def broken(setting):
        raise ValueError("first line\nsecond")

    found = step.run_here(broken, setting)
    assert found.state == "failed" and found.message.startswith("ValueError: first line (broken, line")
    found = step.run_here(lambda setting: {"a": {"state": "ok"}, "b": {"state": "failed"}}, setting)
    assert found.state == "failed" and found.message == "failed: b"
    said = f'import os; print({step.MARK!r} + \'{{"state": "failed", "figures": {{"a": 1}}}}\', flush=True); '
    crashed = step.run_apart(["-c", said + "os.abort()"], 60)
    assert crashed.state == "failed" and "ended with -6" in crashed.message and crashed.figures == {"a": 1}
    hung = step.run_apart(["-c", said + "import time; time.sleep(60)"], 3)
    assert hung.state == "failed" and "took more than 3 s" in hung.message and hung.figures == {"a": 1}


def test_a_failed_step_is_the_exit_code(tmp_path):
    done = run("--output", str(tmp_path), "--only", "versions", "--timeout", "0.01")
    assert done.returncode == 1 and "0 ok, 0 missing, 2 failed" in done.stdout
    assert json.loads((tmp_path / "ascend-check.json").read_text())["steps"]["versions"]["state"] == "failed"
    assert run("--output", str(tmp_path / "none")).returncode == 2


def test_cann_is_found_where_it_is(checks, tmp_path, monkeypatch):
    host, step = checks["host"], checks["step"]
    setting = step.Setting("CPU", 1, 1, "")
    (tmp_path / "compiler").mkdir()
    (tmp_path / "compiler/version.info").write_text("Version=8.5.0\nother=1\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(step.Missing, match="has no hivmc"):
        host.cann(setting)
    (tmp_path / "compiler/hivmc").write_text("")
    (tmp_path / "compiler/hivmc").chmod(0o755)
    found = host.cann(setting)
    assert found["version"] == "8.5.0" and found["hivmc"] == str(tmp_path / "compiler/hivmc")
    assert found["bishengir-compile"] is None


TABLE = """
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc2                 Version: 24.1.rc2                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 93.3        38                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3160 / 65536         |
+===========================+===============+====================================================+
"""


def test_chips_are_read_from_the_table(checks):
    host = checks["host"]
    assert host.chips_of(TABLE) == ["910B3"] and host.chips_of("no device") == []
    assert host.target_of("910B3") == host.target_of("Ascend 910B3") == "Ascend910B3"


def test_a_compilers_message_is_told_without_its_frame(checks):
    text = "///---[BEG]---\n[ConvertLinalgRToBinary] encounters error:\nno hivmc\n\n[INFO]: kept in x\n///---[END]---\n"
    assert checks["kernels"].reason_of(text) == "[ConvertLinalgRToBinary] encounters error: no hivmc"


def test_kernels_are_those_of_the_operators_with_their_arguments(checks):
    """The kernels' modules need triton: their source is read."""
    for operator, kernel, arguments, constants in checks["kernels"].KERNELS.values():
        source = TOOLS.parent / "ops" / operator / "triton.py"
        if not source.is_file():
            pytest.skip("the kernels are not in this tree")
        tree = ast.parse(source.read_text())
        function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == kernel)
        names = [item.arg for item in function.args.args]
        given = [item.split(":")[0] for item in arguments.split()]
        sizes = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}
        assert names[: len(given)] == given and set(names[len(given) :]) <= set(constants) | sizes


def test_deviations(checks):
    import numpy as np

    deviation = checks["bodies"].deviation
    wanted = np.float32([1, -2, -np.inf])
    assert deviation(wanted, wanted) == 0
    assert deviation(np.float32([1, -2.02, -np.inf]), wanted) == pytest.approx(0.01, rel=1e-3)
    assert deviation(np.float32([1, -2, 0]), wanted) == float("inf")
    assert deviation(np.int32([1, 2]), np.int32([1, 3])) == float("inf")
    assert deviation(wanted[:2], wanted) == float("inf")


def test_texts_are_compared_up_to_the_first_other_token(checks):
    compared = checks["models"].compared
    found = compared([[1, 2, 3], [4]], [[1, 2, 9], [4]])
    assert found == {"state": "ok", "equal texts": "1 of 2", "equal tokens before the first other": [2, 1]}
    assert compared([[7]], [[8]])["state"] == "failed"
