#!/usr/bin/env bash
# Make .venv at the top of the repository and install what is missing. Sourced by the other scripts; sets $python.
# A stamp of the files that name the requirements makes a second call instant.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate
    for candidate in "${MINDCOLD_PYTHON:-}" python3.11 python3.10 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' 2>/dev/null || continue
        echo "$candidate" && return
    done
    echo "mindcold needs Python 3.10 or 3.11 (MindSpore has no other wheels); set MINDCOLD_PYTHON to one" >&2
    return 1
}

# pip_install PYTHON ARGUMENTS...: bytecode is left to the first import, where it may be written: half of pip's time
pip_install() {
    local python=$1 bytecode=--no-compile
    shift
    [ -z "${PYTHONDONTWRITEBYTECODE:-}" ] || bytecode=--compile
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$python" -m pip install --quiet "$bytecode" "$@"
}

# install VENV STAMP_NAME PIP_ARGUMENTS...: make the environment if need be and install once per state of the pins
install_into() {
    local venv=$1 name=$2 stamp
    shift 2
    stamp=$venv/.installed-$name-$(cat requirements.txt pyproject.toml tools/install.sh | sha256sum | cut -c1-16)
    [ -f "$stamp" ] && return
    [ -x "$venv/bin/python" ] || "$(find_python)" -m venv "$venv"
    echo "installing into $venv (a few minutes the first time) ..."
    pip_install "$venv/bin/python" "$@"
    touch "$stamp"
}

install_into .venv base -r requirements.txt
python=$PWD/.venv/bin/python
command -v g++ >/dev/null || echo "g++ is not installed: the built-in operators will run instead of the C++ ones" >&2
