"""Run the commands of a README as they stand, in one shell and in their order, from a copy of the checkout.

    python tools/readme_commands.py

Blocks marked `bash` are run by bash, blocks marked `python` by the .venv of the copy, with the imports of those before
them. What should not be run says so in its fence: `bash no-ci`. The suite and CI themselves are left out.
"""

import argparse
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```(bash|python)[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^(?:import|from) .*\n", re.MULTILINE)
LEFT_OUT = re.compile(r"^.*(?:tools/test\.sh|\.ci/run).*$", re.MULTILINE)
SHELL = """set -euTo pipefail
trap 'printf "%s\\0" "$BASH_COMMAND" >&{reports}' DEBUG
"""
"""Stops at the first failure, and says what it is about to do."""


def script(text: str, folder: Path, reports: int) -> str:
    """One shell script of all commands of a README; python blocks are written to files in `folder`."""
    parts, imports = [SHELL.format(reports=reports)], list[str]()
    for number, (language, code) in enumerate(FENCE.findall(text), 1):
        if language == "bash":
            parts.append(LEFT_OUT.sub("", code))
        else:
            path = folder / f"block-{number}.py"
            path.write_text("".join([*imports, code]), encoding="utf-8")
            imports += IMPORT.findall(code)
            parts.append(f".venv/bin/python {shlex.quote(str(path))}\n")
    return "".join(parts)


def run(text: str, folder: Path, limit: float) -> str | None:
    """Run the commands of a README in `folder`; the command that failed or took more than `limit` seconds, or None."""
    reader, writer = os.pipe()
    with tempfile.TemporaryDirectory(prefix="readme-") as blocks:
        path = Path(blocks) / "commands.sh"
        path.write_text(script(text, Path(blocks), writer), encoding="utf-8")
        process = subprocess.Popen(
            ["bash", path], cwd=folder, stdin=subprocess.DEVNULL, pass_fds=[writer], start_new_session=True
        )
        os.close(writer)
        command, start = "bash", time.monotonic()
        began = start
        try:
            while True:
                ended = process.poll() is not None  # before the last look at what it has reported
                if select.select([reader], [], [], 0 if ended else 0.2)[0] and (data := os.read(reader, 1 << 16)):
                    for command in data.decode(errors="replace").rstrip("\0").split("\0"):
                        print(f"[{time.monotonic() - start:.0f} s] $ {command}", flush=True)
                    began = time.monotonic()
                elif ended:
                    return f"{command}: exit code {process.returncode}" if process.returncode else None
                elif time.monotonic() - began > limit:
                    return f"{command}: took more than {limit:g} seconds"
        finally:
            os.close(reader)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def copy_checkout(folder: Path) -> None:
    """Copy what git knows or does not ignore."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, found.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def main() -> int:
    """Run all commands; 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readme", type=Path, nargs="?", default=ROOT / "README.md")
    parser.add_argument("--limit", type=float, default=600, help="seconds a command may take (default 600)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what runs and removes the copy
    with tempfile.TemporaryDirectory(prefix="readme-") as folder:
        copy_checkout(Path(folder))
        failed = run(args.readme.read_text(encoding="utf-8"), Path(folder), args.limit)
    print(f"{args.readme}: {failed or 'every command ran'}", file=sys.stderr if failed else sys.stdout)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
