#!/usr/bin/env bash
# Build sdist and wheel, install the wheel, then the sdist, in an empty environment away from the checkout, and decode
# with each: the tokens must be those of the checkout. The newest MindSpore the wheel allows is installed, whatever
# .venv has. With --all also under every Python that is here of 3.10 and 3.11, each with MindSpore 2.9 and 2.10 and the
# oldest NumPy allowed (a few minutes).
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_into .venv test -e '.[test]'
mindcold=$PWD/.venv/bin/mindcold
export PIP_DISABLE_PIP_VERSION_CHECK=1
case "${1:-}" in "" | --all) ;; *) echo "usage: bash tools/check_wheel.sh [--all]" >&2 && exit 2 ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log" >&2; exit 1; }
cd "$work"
wheel=$(echo dist/*.whl) sdist=$(echo dist/*.tar.gz)

decode() {
    "$1" generate --model tiny-base --dtype float32 --max-new-tokens 24 --json "${@:2}"
}
drafts=(--adapter tiny-steps --method cold --draft trigram --prompt "Question: Ben has 7 pens. Ben buys 5 more pens. How many pens does Ben have now? Answer:")
regex=(--prompt "The farmer" --regex "(walked|ran) to the [a-z]+\.")
decode "$mindcold" "${drafts[@]}" >expected-drafts.json
decode "$mindcold" "${regex[@]}" >expected-regex.json

# compare NAME CASES...: decode by what is installed in venv, from its own files, with kernels of its own sources
compare() {
    local home case
    home=$(venv/bin/python -c 'import mindcold; print(mindcold.__path__[0])')
    [[ $home == "$work"/venv/* ]] || { echo "$1: not used, mindcold is in $home" >&2; exit 1; }
    export MINDCOLD_CACHE=$work/cache # keyed by the sources
    for case in "${@:2}"; do
        local -n arguments=$case
        decode venv/bin/mindcold "${arguments[@]}" >"found-$case.json"
    done
    venv/bin/python - "$@" <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

for case in sys.argv[2:]:
    expected, found = (json.loads(Path(f"{of}-{case}.json").read_text())["token_ids"] for of in ("expected", "found"))
    if not expected or found != expected:
        sys.exit(f"{sys.argv[1]}, {case}: the checkout gives {expected}, it gives {found}")
where = f"Python {sys.version.split()[0]}, mindspore {version('mindspore')}, numpy {version('numpy')}"
print(f"{sys.argv[1]} ({where}): the tokens of the checkout, {', '.join(sys.argv[2:])}")
PYTHON
}

# environment PYTHON REQUIREMENTS...: an empty one with these
environment() {
    rm -rf venv
    "$1" -m venv venv
    pip_install venv/bin/python "${@:2}"
}

environment "$python" "$wheel"
compare wheel drafts regex
venv/bin/mindcold info --model tiny-base --adapter tiny-steps >/dev/null
venv/bin/python -m pip uninstall --quiet --yes mindcold
pip_install venv/bin/python --no-deps "$sdist"
compare sdist drafts

[ "${1:-}" = --all ] || exit 0
for wanted in 3.10 3.11; do
    found=
    for candidate in "python$wanted" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$wanted".*/bin/python; do
        "$candidate" -c "import sys; sys.exit(not sys.version.startswith('$wanted.'))" 2>/dev/null && found=$candidate && break
    done
    if [ -z "$found" ]; then
        echo "wheel: not tried with Python $wanted, there is none here"
        continue
    fi
    for mindspore in 2.9 2.10; do
        environment "$found" "$wheel" "mindspore==$mindspore.*" numpy==1.26.0
        compare wheel drafts regex
    done
done
