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
from mindcold.ops.trigram_draft.lookup import KERNELS as LOOKUP

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_call_over_the_grid_equals_the_contract(tmp_path):
    reason = contrastive_score.available()["akg"]
    if reason:
        pytest.skip(reason)
    environment = os.environ | {"MS_COMPILER_CACHE_PATH": str(tmp_path), "GLOG_v": "3", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name("akg_grid.py"))]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "5 calls each, 0 wrong" in done.stdout


def check_for_ascend(source, name):
    """MindSpore's own static check of a hybrid kernel, with device Ascend."""
    from mindspore.ops.operations._ms_kernel import VariableUsage

    visitor = VariableUsage(name)
    visitor.device = "Ascend"
    visitor.visit(ast.parse(textwrap.dedent(source)))


@pytest.mark.parametrize("function", KERNELS + VERIFY + LOOKUP, ids=lambda function: function.__name__)
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
