#!/usr/bin/env bash
# The main job on the shipped model: base greedy, LoRA greedy and CoLD side by side. Arguments go to tools/demo.py.
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
exec "$python" tools/demo.py "$@"
