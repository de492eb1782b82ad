#!/usr/bin/env bash
# Prove the Triton kernels without an NPU: make an environment of their own in the user's cache (0.7 GB, once), then compile
# them for Ascend, execute the final IR on the CPU and compare. Options are those of prove.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MINDCOLD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mindcold}
environment=$cache/ascend/$(sha256sum "$here/requirements.txt" | cut -c1-16)
suits() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
if [ ! -x "$environment/bin/python" ]; then
    for python in "${MINDCOLD_ASCEND_PYTHON:-python3.11}" python3 "$here/../../.venv/bin/python" ""; do
        if suits "$python"; then break; fi
    done
    if [ -z "$python" ] || [ "$(uname -sm)" != "Linux x86_64" ]; then
        echo "tools/ascend/prove.sh needs Linux on x86-64 and Python 3.11; name it by MINDCOLD_ASCEND_PYTHON" >&2
        exit 1
    fi
    mkdir -p "$cache/ascend"
    partial=$(mktemp -d "$cache/ascend/partial-XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    "$python" -m venv "$partial"
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$partial/bin/python" -m pip install --quiet --no-deps --only-binary :all: \
        --require-hashes -r "$here/requirements.txt"
    # only bin/python is used of it, since its scripts know the old path; another run may have been faster
    mv -T "$partial" "$environment" 2>/dev/null || rm -rf "$partial"
    trap - EXIT
fi
exec "$environment/bin/python" "$here/prove.py" "$@"
