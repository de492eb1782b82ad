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
"$python" tools/audit_report.py "$work/found.json" "$work/log" "$@"
