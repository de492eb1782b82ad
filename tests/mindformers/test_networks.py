"""MindFormers networks in place and handed over: their checks, by a pytest of its own for each kind of network."""

import pytest

from tests.mindformers.script import ROOT, needs_mindformers, run

pytestmark = needs_mindformers

PROGRAM = """
import sys, pytest
options = ["-c", "{root}/pyproject.toml", "--rootdir={root}", "--basetemp=temporary", "-o", "python_files=check_*.py"]
sys.exit(pytest.main([*options, "-p", "no:cacheprovider", "--show-capture=no", *{files}]))
"""


KINDS = {
    "mcore": ("paged_network", "mcore_parity"),
    "legacy": ("overlay", "gated_linear", "uncached_network", "legacy_parity"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_checks_pass(tmp_path, kind):
    files = [f"{ROOT}/tests/mindformers/own_process/check_{name}.py" for name in KINDS[kind]]
    assert " passed" in run(PROGRAM.format(root=ROOT, files=files), tmp_path)
