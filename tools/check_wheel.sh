#!/usr/bin/env bash
# Build sdist and wheel, install the wheel in an empty environment away from the checkout, and decode with it: the
# tokens must be those of the checkout. The newest MindSpore the wheel allows is installed, whatever .venv has.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_into .venv test -e '.[test]'
mindcold=$PWD/.venv/bin/mindcold
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m build --outdir "$work/dist" . >"$work/build.log" 2>&1 || { tail -n 20 "$work/build.log" >&2; exit 1; }
"$python" -m venv "$work/venv"
cd "$work"
PIP_DISABLE_PIP_VERSION_CHECK=1 venv/bin/python -m pip install --quiet dist/*.whl
home=$(venv/bin/python -c 'import mindcold; print(mindcold.__path__[0])')
[[ $home == "$work"/venv/* ]] || { echo "the wheel was not used: mindcold is in $home" >&2; exit 1; }

# compare NAME ARGUMENTS...: the same command by the checkout and by the wheel, kernels compiled from its own sources
compare() {
    local name=$1 expected found
    shift
    expected=$("$mindcold" generate --model tiny-base --dtype float32 --max-new-tokens 24 --json "$@")
    found=$(MINDCOLD_CACHE=$work/cache venv/bin/mindcold generate --model tiny-base --dtype float32 --max-new-tokens 24 --json "$@")
    "$python" - "$name" "$expected" "$found" <<'PYTHON'
import json
import sys

name, expected, found = sys.argv[1], *(json.loads(text)["token_ids"] for text in sys.argv[2:])
if not expected or found != expected:
    sys.exit(f"{name}: the checkout gives {expected}, the wheel {found}")
print(f"{name}: the wheel gives the {len(expected)} tokens of the checkout")
PYTHON
}

compare "CoLD with drafts" --adapter tiny-steps --method cold --draft trigram --prompt "Question: Ben has 7 pens. Ben buys 5 more pens. How many pens does Ben have now? Answer:"
compare "regular expression" --prompt "The farmer" --regex "(walked|ran) to the [a-z]+\."
venv/bin/mindcold info --model tiny-base --adapter tiny-steps >/dev/null
