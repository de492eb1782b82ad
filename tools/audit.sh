#!/usr/bin/env bash
# Ask pip-audit for known vulnerabilities of everything that is installed in .venv, and print what it says. It is a
# report: it ends well whatever is found, and where the service does not answer it says so. With --strict both fail.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
case "${1:-}" in "" | --strict) ;; *) echo "usage: bash tools/audit.sh [--strict]" >&2 && exit 2 ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

installed=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
set +e
(
    set -e
    install_into .audit audit pip-audit==2.10.1
    timeout 120 .audit/bin/python -m pip_audit --path "$installed" --progress-spinner off --format json --timeout 10 \
        >"$work/found.json"
) >"$work/log" 2>&1
set -e
"$python" - "$work" "${1:-}" <<'PYTHON'
import json
import sys
from pathlib import Path

work, strict = Path(sys.argv[1]), sys.argv[2] == "--strict"
try:
    packages = json.loads((work / "found.json").read_text())["dependencies"]
except (OSError, ValueError, KeyError):
    log = [line.strip() for line in (work / "log").read_text(errors="replace").splitlines() if line.strip()]
    print(f"pip-audit: nothing was audited: {log[-1][:200] if log else 'it said nothing'}")
    sys.exit(strict)
asked = [package for package in packages if "skip_reason" not in package]
found = [(package, vulnerability) for package in asked for vulnerability in package["vulns"]]
for package, vulnerability in found:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
    print(f"pip-audit: {package['name']} {package['version']}: {vulnerability['id']}, mended in {fixed}")
if not asked:
    print(f"pip-audit: nothing was audited: the service answers for none of {len(packages)} packages")
    sys.exit(strict)
print(f"pip-audit: {len(asked)} of {len(packages)} packages audited, {len(found)} known vulnerabilities")
sys.exit(strict and bool(found))
PYTHON
