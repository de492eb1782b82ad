"""Say in lines what pip-audit found: `bash tools/audit.sh` runs both."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def report(packages: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Lines for the packages of pip-audit's JSON, and whether all is well: somebody answered and knows of nothing."""
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        return [f"pip-audit: nothing was audited: the service answers for none of {len(packages)} packages"], False
    lines = [
        f"pip-audit: {package['name']} {package['version']}: {found['id']}, "
        f"mended in {', '.join(found['fix_versions']) or 'no version'}"
        for package in asked
        for found in package["vulns"]
    ]
    total = f"pip-audit: {len(asked)} of {len(packages)} packages audited, {len(lines)} known vulnerabilities"
    return [*lines, total], not lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; 1 with --strict where not all is well, else 0."""
    parser = argparse.ArgumentParser(description="Say in lines what pip-audit found.")
    parser.add_argument("found", type=Path, help="what pip-audit --format json has written")
    parser.add_argument("log", type=Path, help="what it said besides")
    parser.add_argument("--strict", action="store_true", help="fail where a vulnerability is known or nobody answered")
    args = parser.parse_args(argv)
    try:
        lines, well = report(json.loads(args.found.read_text(encoding="utf-8"))["dependencies"])
    except (OSError, ValueError, KeyError):
        said = [line.strip() for line in args.log.read_text(errors="replace").splitlines() if line.strip()]
        lines, well = [f"pip-audit: nothing was audited: {said[-1][:200] if said else 'it said nothing'}"], False
    print("\n".join(lines))
    return int(args.strict and not well)


if __name__ == "__main__":
    sys.exit(main())
