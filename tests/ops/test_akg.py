"""The AKG bodies: right over the whole grid on CPU, and accepted by MindSpore's static check for Ascend."""

import ast
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mindcold.ops import contrastive_score
from mindcold.ops.contrastive_score.akg import KERNELS, exp_gap
from mindcold.ops.tree_verify.akg import KERNELS as VERIFY
from tests.folders import write_adapter, write_model

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_call_over_the_grid_equals_the_contract(tmp_path):
    reason = contrastive_score.available()["akg"]
    if reason:
        pytest.skip(reason)
    assert "5 calls each, 0 wrong" in python(tmp_path, str(Path(__file__).with_name("akg_grid.py")))


DECODE = """
import sys, mindcold
for backend in ("aot", "akg"):
    llm = mindcold.load(sys.argv[1], adapter=sys.argv[2], backend=backend)
    for options in ({"method": "greedy"}, {"method": "cold", "alpha": 0.1, "beta": 0.5, "draft": "trigram"}):
        print("tokens", options["method"], llm.generate([5, 6, 7, 5, 6], max_new_tokens=24, **options).token_ids)
"""


def test_a_model_decodes_the_same_tokens_as_in_cpp(tmp_path):
    model, adapter = write_model(tmp_path / "model"), write_adapter(tmp_path / "adapter")
    printed = python(tmp_path, "-c", DECODE, str(model), str(adapter)).splitlines()
    greedy, cold, *same = [line for line in printed if line.startswith("tokens ")]
    assert same == [greedy, cold] and greedy.split()[2:] != cold.split()[2:]


def python(folder, *arguments):
    """What a Python process of its own prints; AKG keeps what it compiles in the folder."""
    environment = os.environ | {"MS_COMPILER_CACHE_PATH": str(folder), "GLOG_v": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def check_for_ascend(source, name):
    """MindSpore's own static check of a hybrid kernel, with device Ascend."""
    from mindspore.ops.operations._ms_kernel import VariableUsage

    visitor = VariableUsage(name)
    visitor.device = "Ascend"
    visitor.visit(ast.parse(textwrap.dedent(source)))


@pytest.mark.parametrize("function", KERNELS + VERIFY, ids=lambda function: function.__name__)
def test_the_source_passes_the_static_check_for_ascend(function):
    check_for_ascend(inspect.getsource(inspect.unwrap(function)), function.__name__)


def test_the_static_check_does_refuse_what_ascend_lacks():
    source = inspect.getsource(inspect.unwrap(exp_gap)).replace("exp(max(", "floor(max(")
    assert "floor" in source
    with pytest.raises(ValueError, match="floor"):
        check_for_ascend(source, exp_gap.__name__)


def test_akg_runs_only_when_asked_for():
    assert type(contrastive_score.body()).__name__ != "AkgContrastiveScore"
    assert type(contrastive_score.body("akg")).__name__ == "AkgContrastiveScore"
