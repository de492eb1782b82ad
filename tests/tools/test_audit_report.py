"""The report on known vulnerabilities: what is found, what could not be asked for, and when it fails."""

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "tools" / "audit_report.py"
SPEC = importlib.util.spec_from_file_location("audit_report", PATH)
audit_report = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(audit_report)

SKIPPED = {"name": "gone", "skip_reason": "not found on PyPI"}
SOUND = {"name": "sound", "version": "1.0", "vulns": []}
HOLED = {
    "name": "holed",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]}, {"id": "PYSEC-2", "fix_versions": []}],
}


@pytest.mark.parametrize(
    ("packages", "lines", "strict"),
    [
        ([SOUND, SKIPPED], ["pip-audit: 1 of 2 packages audited, 0 known vulnerabilities"], 0),
        (
            [HOLED, SOUND],
            [
                "pip-audit: holed 2.0: PYSEC-1, mended in 2.1, 3.0",
                "pip-audit: holed 2.0: PYSEC-2, mended in no version",
                "pip-audit: 2 of 2 packages audited, 2 known vulnerabilities",
            ],
            1,
        ),
        ([SKIPPED], ["pip-audit: nothing was audited: the service answers for none of 1 packages"], 1),
        (None, ["pip-audit: nothing was audited: ERROR: no connection"], 1),
    ],
)
def test_what_is_said_and_when_it_fails(tmp_path, capsys, packages, lines, strict):
    found, log = tmp_path / "found.json", tmp_path / "log"
    log.write_text("installing\nERROR: no connection\n\n")
    found.write_text("" if packages is None else json.dumps({"dependencies": packages, "fixes": []}))
    assert audit_report.main([str(found), str(log)]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert audit_report.main([str(found), str(log), "--strict"]) == strict
